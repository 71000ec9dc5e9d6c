import shutil
import subprocess
import zipfile
import zlib
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from sharkpack.formats.archive import sample_bundle, zip_records
from sharkpack.formats.archive.manifest import Member
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import MODULE, MODULE_PATH, PARAMETERS_PATH, TOKENIZER, TOKENIZER_PATH
from sharkpack.formats.archive.zip_records import DATA_ALIGNMENT, DOS_EPOCH, Record
from sharkpack.formats.errors import SharkpackError


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


def test_members_beyond_four_gigabytes(tmp_path: Path) -> None:
    """A sparse file, so that its gigabytes are not written. Its hashes are wrong; opening does not look at them."""
    path, size = tmp_path / "big.shark", 5 << 30
    contents = {PARAMETERS_PATH: size, TOKENIZER_PATH: 30, MODULE_PATH: 10}
    made = [zip_records.mimetype_record()]
    for name, length in contents.items():
        made.append(Record(path=name, crc32=0, size=length, header_offset=made[-1].end, dos_time=DOS_EPOCH))
    members = [Member(path=r.path, offset=r.data_offset, size=r.size, sha256="0" * 64) for r in made]
    members[2] = replace(members[2], content_size=26)
    manifest = sample_bundle.sample_manifest(members).to_json()
    made.append(
        Record(
            path="manifest.json",
            crc32=zlib.crc32(manifest),
            size=len(manifest),
            header_offset=made[-1].end,
            dos_time=DOS_EPOCH,
        )
    )
    directory = b"".join(map(zip_records.central_record, made))
    with path.open("wb") as file:
        for record in made:
            file.seek(record.header_offset)
            file.write(zip_records.local_header(record))
        file.write(manifest + directory + zip_records.end_records(len(made), made[-1].end, len(directory)))
        file.seek(38)
        file.write(zip_records.MIMETYPE)
    with Archive.open(path) as archive:
        assert archive.file_offset(MODULE_PATH) > size
        assert len(archive.view(PARAMETERS_PATH)) == size
    with zipfile.ZipFile(path) as other:
        assert {info.filename: info.file_size for info in other.infolist()}.items() >= contents.items()
        assert other.read("manifest.json") == manifest
