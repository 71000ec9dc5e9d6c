"""Ways to spoil the golden archive: fields patched in place, members and manifests changed in files that are right."""

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharkpack.formats.archive import zip_records
from sharkpack.formats.archive.zip_records import DOS_EPOCH, END_SIZE, Record

# Offsets of fields in the local header, the central record and the end records, from APPNOTE.TXT 6.3.10, section 4.3.
LOCAL = {"version": 4, "flags": 6, "method": 8, "time": 10, "crc32": 14, "size": 18, "extra_length": 28, "name": 30}
CENTRAL = {"flags": 8, "method": 10, "time": 12, "comment_length": 32, "disk": 34, "attributes": 38, "name": 46}
END64 = {"this_disk": 16, "count_here": 24, "count": 32, "directory_size": 40, "directory_offset": 48}

GOOD = (Path(__file__).parent / "golden" / "tiny.shark").read_bytes()

Entries = list[tuple[str, bytes]]


def records(data: bytes) -> list[Record]:
    return zip_records.read_directory(memoryview(data))


def record(data: bytes, path: str) -> Record:
    return next(item for item in records(data) if item.path == path)


def central_offset(path: str) -> int:
    start = records(GOOD)[-1].end
    before = records(GOOD)[: [item.path for item in records(GOOD)].index(path)]
    return start + sum(len(zip_records.central_record(item)) for item in before)


def patch(data: bytes, offset: int, new: bytes) -> bytes:
    assert offset >= 0
    return data[:offset] + new + data[offset + len(new) :]


def in_local(data: bytes, path: str, field: str, new: bytes) -> bytes:
    return patch(data, record(GOOD, path).header_offset + LOCAL[field], new)


def in_central(data: bytes, path: str, field: str, new: bytes) -> bytes:
    return patch(data, central_offset(path) + CENTRAL[field], new)


def in_zip64(data: bytes, path: str, index: int, value: int) -> bytes:
    """Size (0), stored size (1) or header offset (2) in the central record."""
    offset = central_offset(path) + CENTRAL["name"] + len(path) + 4 + 8 * index
    return patch(data, offset, value.to_bytes(8, "little"))


def in_end64(data: bytes, field: str, value: int) -> bytes:
    return patch(data, len(data) - END_SIZE + END64[field], value.to_bytes(8, "little"))


def named(data: bytes, path: str, new: bytes) -> bytes:
    assert len(new) == len(path)
    return in_central(in_local(data, path, "name", new), path, "name", new)


def assemble(entries: Entries) -> bytes:
    """An archive that is right in its ZIP records, whatever its members."""
    out, made = b"", []
    for path, content in entries:
        item = Record(
            path=path, crc32=zlib.crc32(content), size=len(content), header_offset=len(out), dos_time=DOS_EPOCH
        )
        out += zip_records.local_header(item) + content
        made.append(item)
    directory = b"".join(map(zip_records.central_record, made))
    return out + directory + zip_records.end_records(len(made), len(out), len(directory))


def entries(data: bytes) -> Entries:
    return [(item.path, data[item.data_offset : item.end]) for item in records(data)]


def with_manifest(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    *rest, (path, text) = entries(data)
    values = json.loads(text)
    change(values)
    return assemble([*rest, (path, json.dumps(values).encode())])


def with_content(data: bytes, path: str, content: bytes, content_size: int | None = None) -> bytes:
    """Replace a member and describe it truthfully in the manifest, but for `content_size`."""
    swapped = assemble([(name, content if name == path else old) for name, old in entries(data)])

    def describe(values: dict[str, Any]) -> None:
        for member in values["members"]:
            place = record(swapped, member["path"])
            stored = swapped[place.data_offset : place.end]
            member |= {"offset": place.data_offset, "size": place.size, "sha256": sha256_of(stored)}
            if member["path"] == path and content_size is not None:
                member["content_size"] = content_size

    return with_manifest(swapped, describe)


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def with_gap(data: bytes) -> bytes:
    start = central_offset("mimetype")
    directory = data[start:-END_SIZE]
    count = len(records(GOOD))
    return data[:start] + bytes(16) + directory + zip_records.end_records(count, start + 16, len(directory))
