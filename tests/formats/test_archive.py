import errno
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from sharkpack.formats import sample_bundle
from sharkpack.formats.archive import DATA_ALIGNMENT, Archive, ArchiveWriter
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.output_file import OutputFile
from sharkpack.formats.sample_bundle import MODULE, MODULE_PATH, PARAMETERS_PATH, TOKENIZER, TOKENIZER_PATH


@pytest.fixture(autouse=True)
def _no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.shark"
    sample_bundle.write_sample_bundle(path)
    return path


def test_what_is_written_is_read_back(bundle: Path) -> None:
    with Archive.open(bundle) as archive:
        assert archive.path == bundle
        assert archive.size == bundle.stat().st_size
        assert list(archive.members) == ["mimetype", PARAMETERS_PATH, TOKENIZER_PATH, MODULE_PATH]
        assert archive.manifest == sample_bundle.sample_manifest(archive.manifest.members)
        assert archive.read(MODULE_PATH) == MODULE
        assert archive.read(TOKENIZER_PATH) == TOKENIZER
        archive.verify()


def test_members_lie_aligned_where_the_manifest_says(bundle: Path) -> None:
    data = bundle.read_bytes()
    with Archive.open(bundle) as archive:
        for member in archive.manifest.members:
            content = data[member.offset : member.offset + member.size]
            assert sha256(content).hexdigest() == member.sha256
            assert archive.file_offset(member.path) == member.offset
            assert member.offset % DATA_ALIGNMENT == 0 or member.path == "mimetype"
            with archive.view(member.path) as view:
                assert view == content
                assert view.readonly


def test_tensors_are_found_at_absolute_aligned_offsets(bundle: Path) -> None:
    data = bundle.read_bytes()
    with Archive.open(bundle) as archive:
        index = archive.parameter_index(PARAMETERS_PATH)
    assert {name: data[offset : offset + size] for name, (offset, size) in index.items()} == sample_bundle.TENSORS
    assert all(offset % 64 == 0 for offset, _ in index.values())


def test_views_outlive_the_archive(bundle: Path) -> None:
    with Archive.open(bundle) as archive:
        view = archive.view(MODULE_PATH)
    archive.close()
    assert bytes(view) == MODULE


def test_progress_of_verify_adds_up_to_the_members(bundle: Path) -> None:
    done: list[int] = []
    with Archive.open(bundle) as archive:
        archive.verify(done.append)
        assert sum(done) == sum(member.size for member in archive.members.values())


def test_unknown_member_is_named(bundle: Path) -> None:
    with Archive.open(bundle) as archive, pytest.raises(SharkpackError, match=r"tiny\.shark: no member 'x'"):
        archive.view("x")


def test_same_input_gives_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.shark"
    sample_bundle.write_sample_bundle(again)
    assert again.read_bytes() == bundle.read_bytes()


def test_python_zipfile_reads_it(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "mimetype"
        assert archive.namelist()[-1] == "manifest.json"
        assert archive.read("mimetype") == b"application/vnd.shark+zip"
        assert archive.read(MODULE_PATH) == MODULE
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
def test_unzip_reads_it(bundle: Path) -> None:
    listing = subprocess.run(["unzip", "-l", bundle], capture_output=True, text=True, check=True).stdout
    assert MODULE_PATH in listing
    tested = subprocess.run(["unzip", "-t", bundle], capture_output=True, text=True, check=True)
    assert "No errors detected" in tested.stdout
    assert tested.stderr == ""


def test_type_stands_where_file_looks_for_it(bundle: Path) -> None:
    assert bundle.read_bytes()[30:63] == b"mimetypeapplication/vnd.shark+zip"


def test_source_date_epoch_stamps_the_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    sample_bundle.write_sample_bundle(tmp_path / "dated.shark")
    with zipfile.ZipFile(tmp_path / "dated.shark") as archive:
        assert archive.getinfo(MODULE_PATH).date_time == (2023, 11, 14, 22, 13, 20)
        assert archive.getinfo("mimetype").date_time == (1980, 1, 1, 0, 0, 0)
    Archive.open(tmp_path / "dated.shark").close()


@pytest.mark.parametrize("epoch", ["yesterday", "0", "99999999999", "9" * 30])
def test_source_date_epoch_that_zip_cannot_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(SharkpackError, match="SOURCE_DATE_EPOCH"):
        ArchiveWriter(tmp_path / "x.shark")


def test_existing_output_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    path.write_bytes(b"precious")
    with pytest.raises(SharkpackError, match="exists already"):
        sample_bundle.write_sample_bundle(path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    archive = ArchiveWriter(path).__enter__()
    add_all(archive)
    path.write_bytes(b"precious")
    with pytest.raises(SharkpackError, match="exists already"):
        archive.__exit__(None, None, None)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_overwrite_replaces(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    path.write_bytes(b"old")
    sample_bundle.write_sample_bundle(path, overwrite=True)
    Archive.open(path).close()


def test_folder_as_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match="is a folder"):
        sample_bundle.write_sample_bundle(tmp_path, overwrite=True)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match=r"nowhere/x\.shark: cannot write: No such file or directory"):
        sample_bundle.write_sample_bundle(tmp_path / "nowhere" / "x.shark")


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_output_mode_follows_umask(tmp_path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        sample_bundle.write_sample_bundle(tmp_path / "x.shark")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "x.shark").stat().st_mode) == 0o666 & ~umask


def add_all(archive: ArchiveWriter) -> None:
    archive.add(PARAMETERS_PATH, b"irpa")
    archive.add(TOKENIZER_PATH, TOKENIZER, compress=True)
    archive.add(MODULE_PATH, MODULE)
    archive.finish(sample_bundle.sample_manifest(archive.members).to_json())


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, SystemExit])
def test_nothing_is_left_behind(tmp_path: Path, interruption: type[BaseException]) -> None:
    def interrupted() -> None:
        with ArchiveWriter(tmp_path / "x.shark") as archive, archive.open_member("a", 10) as out:
            out.write(b"12345")
            assert len(list(tmp_path.iterdir())) == 1
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_archive_without_manifest_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match="left without a manifest"), ArchiveWriter(tmp_path / "x.shark") as archive:
        archive.add("a", b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("data", "found"), [(b"123", "got 3"), (b"12345", "got more")])
def test_members_must_have_the_announced_size(tmp_path: Path, data: bytes, found: str) -> None:
    message = f"'a' was announced with 4 bytes and {found}"
    with (
        pytest.raises(SharkpackError, match=message),
        ArchiveWriter(tmp_path / "x.shark") as archive,
        archive.open_member("a", 4) as out,
    ):
        out.write(data)


def test_writer_refuses_what_the_reader_would(tmp_path: Path) -> None:
    archive = ArchiveWriter(tmp_path / "x.shark")
    with archive:
        with pytest.raises(SharkpackError, match="unsafe member name"):
            archive.add("../a", b"")
        archive.add("a", b"")
        with pytest.raises(SharkpackError, match="'A' collides with 'a'"):
            archive.add("A", b"")
        with pytest.raises(SharkpackError, match="are compressed, and no others"):
            archive.add("b", b"", compress=True)
        with pytest.raises(SharkpackError, match="are compressed, and no others"):
            archive.add("b.zst", b"")
        with pytest.raises(SharkpackError, match="are added whole"), archive.open_member("b.zst", 1):
            pass
        with pytest.raises(SharkpackError, match="at most"):
            archive.finish(b" " * (5 << 20))
        with pytest.raises(SharkpackError, match="does not list the members that were added"):
            archive.finish(sample_bundle.sample_manifest(sample_bundle.sample_members()).to_json())
        add_all(archive)
    Archive.open(tmp_path / "x.shark").close()


def test_nothing_follows_the_manifest(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "x.shark") as archive:
        add_all(archive)
        with pytest.raises(SharkpackError, match="comes after the manifest"):
            archive.add("late", b"")
    Archive.open(tmp_path / "x.shark").close()


def test_errors_of_the_producer_are_not_ours(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match="the source is gone"),
        ArchiveWriter(tmp_path / "x.shark") as archive,
        archive.open_member("a", 4),
    ):
        raise FileNotFoundError(errno.ENOENT, "the source is gone")


def test_space_is_asked_for_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    message = r"x\.shark: not enough room on the disk: 5\.0 GB more are needed and 3\.0 MB are free in "
    with (
        pytest.raises(SharkpackError, match=message),
        ArchiveWriter(tmp_path / "x.shark") as archive,
        archive.open_member("params/model.irpa", 5_000_000_000),
    ):
        pytest.fail("nothing may be written")
    assert list(tmp_path.iterdir()) == []


def open_full() -> IO[bytes]:
    return Path("/dev/full").open("wb")


def test_full_disk_says_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutputFile, "_open_temporary", lambda _: open_full())
    message = r"not enough room on the disk: 36\.3 kB more are needed and .* are free in"
    with pytest.raises(SharkpackError, match=message), ArchiveWriter(tmp_path / "x.shark") as archive:
        archive.add("a", bytes(20_000))
    assert list(tmp_path.iterdir()) == []


def test_file_size_limit_is_a_clear_error(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from sharkpack.formats.archive import ArchiveWriter\n"
        "from sharkpack.formats.errors import SharkpackError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try:\n"
        "    with ArchiveWriter(sys.argv[1]) as archive:\n"
        "        archive.add('a', bytes(200_000))\n"
        "except SharkpackError as error:\n"
        "    sys.exit(str(error))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "x.shark"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "no larger file is allowed (see ulimit -f)" in result.stderr
    assert list(tmp_path.iterdir()) == []
