"""Failures of writing an archive: in a sentence, and without a trace on the disk."""

import errno
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from sharkpack.formats.archive import sample_bundle
from sharkpack.formats.archive.compressed import Compressed
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import MODULE, MODULE_PATH, PARAMETERS_PATH, TOKENIZER, TOKENIZER_PATH
from sharkpack.formats.archive.writer import ArchiveWriter
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OutputFile


@pytest.fixture(autouse=True)
def _no_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


@pytest.mark.parametrize("epoch", ["yesterday", "0", "99999999999", "9" * 30])
def test_source_date_epoch_that_zip_cannot_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    with pytest.raises(SharkpackError, match="SOURCE_DATE_EPOCH"):
        ArchiveWriter(tmp_path / "x.shark")


def test_existing_output_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    path.write_bytes(b"precious")
    with pytest.raises(SharkpackError, match="exists; choose another"):
        sample_bundle.write_sample_bundle(path)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    archive = ArchiveWriter(path).__enter__()
    add_all(archive)
    path.write_bytes(b"precious")
    with pytest.raises(SharkpackError, match="exists; choose another"):
        archive.__exit__(None, None, None)
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_overwrite_replaces(tmp_path: Path) -> None:
    path = tmp_path / "x.shark"
    path.write_bytes(b"old")
    sample_bundle.write_sample_bundle(path, overwrite=True)
    Archive.open(path).close()


def test_folder_as_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match="is a directory"):
        sample_bundle.write_sample_bundle(tmp_path, overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_pipe_as_output_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SharkpackError, match="is a device or a pipe"):
        sample_bundle.write_sample_bundle(tmp_path / "pipe", overwrite=True)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SharkpackError, match=r"^folder .*nowhere does not exist; make it first"):
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


def test_a_member_may_be_compressed_before(tmp_path: Path) -> None:
    with ArchiveWriter(tmp_path / "x.shark") as archive:
        archive.add_compressed("before.zst", Compressed.of(TOKENIZER))
        archive.add("now.zst", TOKENIZER, compress=True)
        _, before, now = archive.members
        assert (before.size, before.content_size, before.sha256) == (now.size, now.content_size, now.sha256)
        assert before.content_size == len(TOKENIZER)
        with pytest.raises(SharkpackError, match="are compressed, and no others"):
            archive.add_compressed("b", Compressed.of(b""))
        with pytest.raises(SharkpackError, match=r"member 'b\.zst': 68719476736 bytes; at most"):
            archive.add_compressed("b.zst", Compressed(frame=b"", content_size=1 << 36))
        add_all(archive)


def test_digests_are_those_of_all_pieces(tmp_path: Path) -> None:
    """The last of more members than wait to be hashed is hashed too."""
    pieces = [bytes([i]) * 100_000 for i in range(40)]
    with ArchiveWriter(tmp_path / "x.shark") as archive:
        with archive.open_member("a", 4_000_000) as out:
            assert [out.write(piece) for piece in pieces] == [100_000] * 40
        assert archive.members[-1].sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()
        assert out.crc32 == zlib.crc32(b"".join(pieces))
        add_all(archive)


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


def open_full() -> io.FileIO:
    return Path("/dev/full").open("wb", buffering=0)


def test_full_disk_says_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OutputFile, "_open_temporary", lambda file: (tmp_path / "left", open_full()))
    message = r"not enough room on the disk: 36\.3 kB more are needed and .* are free in"
    with pytest.raises(SharkpackError, match=message), ArchiveWriter(tmp_path / "x.shark") as archive:
        archive.add("a", bytes(20_000))
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_written_whole_and_in_order(tmp_path: Path) -> None:
    """Pieces of many sizes, over several blocks, and one put over the beginning at the end."""
    path, wanted = tmp_path / "x", bytearray()
    file = OutputFile(path, overwrite=False)
    for i, size in enumerate((1, 0, (4 << 20) - 1, 5 << 20, 3, 9 << 20, 70_001)):
        wanted += bytes([i + 1]) * size
        file.write(bytes([i + 1]) * size)
    file.overwrite_at(2, b"over")
    wanted[2:6] = b"over"
    file.write(b"end")
    file.publish()
    assert path.read_bytes() == wanted + b"end"


def test_file_size_limit_is_a_clear_error(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from sharkpack.formats.archive.writer import ArchiveWriter\n"
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
