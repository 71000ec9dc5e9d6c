"""Attacks: for every rule of the strict reader, a file that breaks it. One long file, so that none is overlooked."""

import hashlib
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from sharkpack.formats import zip_records
from sharkpack.formats.archive import Archive
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.sample_bundle import (
    MODULE_PATH,
    PARAMETERS_PATH,
    TOKENIZER,
    TOKENIZER_PATH,
)
from sharkpack.formats.zip_records import DOS_EPOCH, END_SIZE, Record

# Offsets of fields in the local header, the central record and the end records, from APPNOTE.TXT 6.3.10, section 4.3.
LOCAL = {"version": 4, "flags": 6, "method": 8, "time": 10, "crc32": 14, "size": 18, "extra_length": 28, "name": 30}
CENTRAL = {"flags": 8, "method": 10, "time": 12, "comment_length": 32, "disk": 34, "attributes": 38, "name": 46}
END64 = {"this_disk": 16, "count_here": 24, "count": 32, "directory_size": 40, "directory_offset": 48}

GOOD = (Path(__file__).parent / "golden" / "tiny.shark").read_bytes()

Entries = list[tuple[str, bytes]]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[bytes], Archive]:
    def open_bytes(data: bytes) -> Archive:
        path = tmp_path / "evil.shark"
        path.write_bytes(data)
        return Archive.open(path)

    return open_bytes


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


Attack = Callable[[bytes], bytes]

ZIP_ATTACKS: dict[str, tuple[Attack, str]] = {
    "trailing byte": (lambda d: d + b"\0", r"1 bytes \(a comment or trailing data\) follow the end record"),
    "comment": (lambda d: d[:-2] + b"\3\0abc", "3 bytes .* follow the end record"),
    "announced comment": (lambda d: d[:-2] + b"\3\0", "announces a comment"),
    "second end record": (lambda d: d + d[-22:], "the end records are damaged or doubled"),
    "second set of end records": (lambda d: d + d[-END_SIZE:], "the end records are damaged or doubled"),
    "second directory": (lambda d: d + d[central_offset("mimetype") :], "the end records are damaged or doubled"),
    "two archives in one": (lambda d: d + d, "the end records are damaged or doubled"),
    "something in front": (lambda d: b"#!/bin/sh\n" + d, "something that starts with b'#!/b', not a sharkpack bundle"),
    "spanned disks": (lambda d: in_end64(d, "this_disk", 1), "the end records are damaged"),
    "counts that differ": (lambda d: in_end64(d, "count_here", 4), "the end records are damaged"),
    "directory that is shorter": (lambda d: in_end64(d, "directory_size", 10), "the end records are damaged"),
    "directory at the far end": (lambda d: in_end64(d, "directory_offset", 2**64 - 1), "the end records are damaged"),
    "more members than there are": (
        lambda d: in_end64(in_end64(d, "count", 6), "count_here", 6),
        "the central directory is damaged: a record is missing",
    ),
    "fewer members than there are": (
        lambda d: in_end64(in_end64(d, "count", 4), "count_here", 4),
        "bytes that belong to no member",
    ),
    "no members": (lambda d: in_end64(in_end64(d, "count", 0), "count_here", 0), "bytes that belong to no member"),
    "too many members": (
        lambda d: in_end64(in_end64(d, "count", 1025), "count_here", 1025),
        "1025 members in a directory of .* bytes; at most 1024 are allowed",
    ),
    "absurdly many members": (
        lambda d: in_end64(in_end64(d, "count", 2**64 - 1), "count_here", 2**64 - 1),
        "members in a directory of .* bytes; at most 1024",
    ),
    "compressed": (
        lambda d: in_central(in_local(d, MODULE_PATH, "method", b"\x08"), MODULE_PATH, "method", b"\x08"),
        r"member 'targets/generic/module.vmfb' is compressed \(ZIP method 8\)",
    ),
    "compressed by the local header": (lambda d: in_local(d, MODULE_PATH, "method", b"\x08"), "is compressed"),
    "compressed by the directory": (lambda d: in_central(d, MODULE_PATH, "method", b"\x5d"), "ZIP method 93"),
    "encrypted": (lambda d: in_central(d, MODULE_PATH, "flags", b"\x01"), "is encrypted"),
    "encrypted by the local header": (lambda d: in_local(d, MODULE_PATH, "flags", b"\x01"), "is encrypted"),
    "data descriptor": (lambda d: in_central(d, MODULE_PATH, "flags", b"\x08"), "has a data descriptor"),
    "data descriptor by the local header": (
        lambda d: in_local(d, MODULE_PATH, "flags", b"\x08"),
        "has a data descriptor",
    ),
    "another flag": (lambda d: in_central(d, MODULE_PATH, "flags", b"\0\x08"), "is not as sharkpack writes it"),
    "comment of a member": (lambda d: in_central(d, MODULE_PATH, "comment_length", b"\1"), "has a comment"),
    "another disk": (lambda d: in_central(d, MODULE_PATH, "disk", b"\1"), "is not as sharkpack writes it"),
    "symbolic link": (
        lambda d: in_central(d, MODULE_PATH, "attributes", struct.pack("<I", 0o120777 << 16)),
        "is not as sharkpack writes it",
    ),
    "another name in the local header": (lambda d: in_local(d, MODULE_PATH, "name", b"T"), "disagree"),
    "another CRC in the local header": (lambda d: in_local(d, MODULE_PATH, "crc32", b"abcd"), "disagree"),
    "another time in the local header": (lambda d: in_local(d, MODULE_PATH, "time", b"\1"), "disagree"),
    "another size in the local header": (lambda d: in_local(d, MODULE_PATH, "size", b"\1\0\0\0"), "disagree"),
    "another extra field in the local header": (
        lambda d: in_local(d, MODULE_PATH, "extra_length", b"\0\0"),
        "disagree",
    ),
    "something hidden in the padding": (
        lambda d: patch(d, record(GOOD, MODULE_PATH).data_offset - 1, b"\1"),
        "disagree",
    ),
    "sizes that differ": (lambda d: in_zip64(d, MODULE_PATH, 1, 18), "is not as sharkpack writes it"),
    "member past the directory": (
        lambda d: in_zip64(in_zip64(d, MODULE_PATH, 0, 2**40), MODULE_PATH, 1, 2**40),
        "member 'targets/generic/module.vmfb' reaches past the central directory",
    ),
    "member of all the bytes there can be": (
        lambda d: in_zip64(in_zip64(d, MODULE_PATH, 0, 2**64 - 1), MODULE_PATH, 1, 2**64 - 1),
        "reaches past the central directory",
    ),
    "header past the end": (lambda d: in_zip64(d, MODULE_PATH, 2, 2**64 - 1), "leaves a gap before it"),
    "overlap": (
        lambda d: in_zip64(d, MODULE_PATH, 2, record(GOOD, PARAMETERS_PATH).header_offset),
        "member 'targets/generic/module.vmfb' overlaps what is before it",
    ),
    "overlap by a longer member": (
        lambda d: in_zip64(in_zip64(d, PARAMETERS_PATH, 0, 20_000), PARAMETERS_PATH, 1, 20_000),
        "disagree",
    ),
    "gap between members": (
        lambda d: in_zip64(d, MODULE_PATH, 2, record(GOOD, MODULE_PATH).header_offset + 1),
        "member 'targets/generic/module.vmfb' leaves a gap before it",
    ),
    "gap before the directory": (lambda d: with_gap(d), "bytes that belong to no member"),
    "same name twice": (
        lambda d: assemble([*entries(GOOD)[:-1], entries(GOOD)[1], entries(GOOD)[-1]]),
        "appears twice",
    ),
    "names that differ in case": (
        lambda d: assemble([*entries(GOOD)[:-1], ("PARAMS/model.irpa", b""), entries(GOOD)[-1]]),
        "member 'PARAMS/model.irpa' collides with 'params/model.irpa' where case is ignored",
    ),
    "file that is a folder too": (
        lambda d: assemble([*entries(GOOD)[:-1], ("params", b""), entries(GOOD)[-1]]),
        "member 'params' is also the folder of 'params/model.irpa'",
    ),
    "mimetype not first": (
        lambda d: assemble([entries(GOOD)[1], entries(GOOD)[0], *entries(GOOD)[2:]]),
        "some other ZIP archive, not a sharkpack bundle",
    ),
    "another mimetype": (
        lambda d: assemble([("mimetype", b"application/epub+zip"), *entries(GOOD)[1:]]),
        "some other ZIP archive, not a sharkpack bundle",
    ),
    "manifest not last": (
        lambda d: assemble([*entries(GOOD)[:-2], entries(GOOD)[-1], entries(GOOD)[-2]]),
        "the last member is 'targets/generic/module.vmfb', not 'manifest.json'",
    ),
    "no manifest": (lambda d: assemble(entries(GOOD)[:-1]), "the last member is"),
    "huge manifest": (
        lambda d: assemble([*entries(GOOD)[:-1], ("manifest.json", b" " * (4 << 20) + b"{}")]),
        "the manifest has 4194306 bytes; at most 4194304 are allowed",
    ),
    "flipped byte in the manifest": (
        lambda d: patch(d, record(GOOD, "manifest.json").data_offset + 100, b"\x7f"),
        "the manifest is damaged: its CRC-32 differs",
    ),
}

MANIFEST_ATTACKS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "newer major": (lambda m: m["format"].update(major=2), "format version 2.0; .*: upgrade sharkpack"),
    "unknown feature": (
        lambda m: m["format"].update(required_features=["x"]),
        "the bundle needs the feature 'x', unknown here: upgrade sharkpack",
    ),
    "member unlisted": (lambda m: m["members"].pop(0), "the manifest lists other members"),
    "member at another offset": (lambda m: m["members"][1].update(offset=0), "the manifest lists other members"),
    "member of another size": (lambda m: m["members"][1].update(size=2**62), "the manifest lists other members"),
    "members in another order": (lambda m: m["members"].reverse(), "the manifest lists other members"),
    "members that are not there": (
        lambda m: m["members"].append(m["members"][1] | {"path": "more"}),
        "the manifest lists other members",
    ),
    "module that is not there": (lambda m: m["targets"][0].update(path="x"), r"'targets\[0\].path': no member 'x'"),
    "bomb of the declared size": (
        lambda m: m["members"][2].update(content_size=2**40),
        r"'members\[2\].content_size': 1099511627776 is more than",
    ),
    "deep nesting": (lambda m: m.update(x=json.loads("[" * 50 + "]" * 50)), "nests deeper than 16 levels"),
}

NAMES = [
    b"/arams/model.irpa",
    b"../ams/model.irpa",
    b"params/../del.irp",
    b"params/./odel.irp",
    b"params//odel.irpa",
    b"params/model.irp/",
    b"params\\model.irpa",
    b"C:rams/model.irpa",
    b"params/model.irp.",
    b"params/model.irp ",
    b"params/model.irp\0",
    b"params/model.irp\n",
    b"params/\x1b[31ml.irp",
    b"params/.hiddenirp",
    b"params/m\xc3\xb6del.irp",
    b"params/\xff\xfeodl.irpa",
    b"-arams/model.irpa",
    b"~arams/model.irpa",
    b"params/mod$l.irpa",
]

ZSTD = zstandard.ZstdCompressor()
FRAMES = {
    "content larger than declared": ZSTD.compress(bytes(10_000_000)),
    "content smaller than declared": ZSTD.compress(TOKENIZER[:-1]),
    "frame without a size": zstandard.ZstdCompressor(write_content_size=False).compress(TOKENIZER),
    "two frames": ZSTD.compress(TOKENIZER) + ZSTD.compress(TOKENIZER),
    "bytes after the frame": ZSTD.compress(TOKENIZER) + b"\0",
    "frame cut short": ZSTD.compress(TOKENIZER)[:-1],
    "no frame": b"plain",
    "nothing": b"",
    # A frame whose header says 26 bytes (as declared) and whose one RLE block makes 100,000 of them.
    "content larger than its own header says": b"\x28\xb5\x2f\xfd\x20\x1a"
    + struct.pack("<I", 100_000 << 3 | 3)[:3]
    + b"a",
    # Window of 2^41 bytes, announced size of 26.
    "window of a terabyte": b"\x28\xb5\x2f\xfd\x80\xf8" + struct.pack("<I", 26) + b"\x01\0\0",
}


def with_gap(data: bytes) -> bytes:
    start = central_offset("mimetype")
    directory = data[start:-END_SIZE]
    count = len(records(GOOD))
    return data[:start] + bytes(16) + directory + zip_records.end_records(count, start + 16, len(directory))


@pytest.mark.parametrize("name", ZIP_ATTACKS)
def test_zip_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    attack, message = ZIP_ATTACKS[name]
    with pytest.raises(SharkpackError, match=rf"evil\.shark: .*{message}"):
        opened(attack(GOOD))


@pytest.mark.parametrize("name", MANIFEST_ATTACKS)
def test_manifest_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    change, message = MANIFEST_ATTACKS[name]
    with pytest.raises(SharkpackError, match=rf"evil\.shark: .*{message}"):
        opened(with_manifest(GOOD, change))


def test_message_stays_short(opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match="minimum_runtime") as caught:
        opened(with_manifest(GOOD, lambda m: m.update(minimum_runtime="\x1b" * 100_000)))
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", NAMES)
def test_unsafe_names(name: bytes, opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match=r"unsafe member name|is not ASCII") as caught:
        opened(named(GOOD, PARAMETERS_PATH, name))
    assert str(caught.value).isprintable()


def test_name_that_is_too_long(opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match="member name of 256 characters; at most 255"):
        opened(assemble([entries(GOOD)[0], ("a" * 256, b""), entries(GOOD)[-1]]))


@pytest.mark.parametrize("name", FRAMES)
def test_zstd_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    with opened(with_content(GOOD, TOKENIZER_PATH, FRAMES[name], len(TOKENIZER))) as archive:
        message = "member 'tokenizer/tokenizer.json.zst' is not one zstd frame of 26 bytes"
        with pytest.raises(SharkpackError, match=message):
            archive.read(TOKENIZER_PATH)
        with pytest.raises(SharkpackError, match=message):
            archive.verify()


@pytest.mark.parametrize("path", ["mimetype", PARAMETERS_PATH, TOKENIZER_PATH, MODULE_PATH])
def test_flipped_byte_in_any_member(path: str, opened: Callable[[bytes], Archive]) -> None:
    place = record(GOOD, path)
    evil = patch(GOOD, place.end - 1, bytes([GOOD[place.end - 1] ^ 1]))
    if path == "mimetype":
        with pytest.raises(SharkpackError, match="not a sharkpack bundle"):
            opened(evil)
        return
    with opened(evil) as archive:
        with pytest.raises(SharkpackError, match=f"member '{path}' is damaged: its SHA-256 differs"):
            archive.read(path)
        with pytest.raises(SharkpackError, match=f"member '{path}' is damaged: its hash differs"):
            archive.verify()


def test_tensor_outside_its_parameter_file(opened: Callable[[bytes], Archive]) -> None:
    content = bytearray(dict(entries(GOOD))[PARAMETERS_PATH])
    struct.pack_into("<Q", content, 96 + 68, 2**40)  # the size of the first tensor
    with opened(with_content(GOOD, PARAMETERS_PATH, bytes(content))) as archive:
        message = (
            r"evil\.shark: params/model\.irpa: parameter file: tensor 'token_embd.weight' .* is outside its storage"
        )
        with pytest.raises(SharkpackError, match=message):
            archive.parameter_index(PARAMETERS_PATH)
        with pytest.raises(SharkpackError, match=message):
            archive.verify()


def test_every_truncation_is_refused(opened: Callable[[bytes], Archive]) -> None:
    edges = [edge for item in records(GOOD) for edge in (item.header_offset, item.data_offset, item.end)]
    sizes = {*range(100), *range(0, len(GOOD), 911), *range(len(GOOD) - 700, len(GOOD)), *edges}
    for size in sorted(sizes):
        with pytest.raises(SharkpackError, match=r"cut short|is empty"):
            opened(GOOD[:size])


def test_every_flipped_byte_of_the_structure_is_refused(opened: Callable[[bytes], Archive]) -> None:
    places = [*range(central_offset("mimetype"), len(GOOD))]
    for item in records(GOOD):
        places += [
            *range(item.header_offset, item.header_offset + 100),
            *range(item.header_offset, item.data_offset, 503),
        ]
    for place in places:
        if place < len(GOOD):
            with pytest.raises(SharkpackError):
                opened(patch(GOOD, place, bytes([GOOD[place] ^ 0x41])))


def test_every_byte_of_the_file_has_one_meaning() -> None:
    """Reading an archive and writing its records again gives the same file: nothing is read over."""
    assert assemble(entries(GOOD)) == GOOD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"GGUF\3\0\0\0", "a GGUF model, not a sharkpack bundle; make a bundle of it with 'sharkpack build'"),
        (b"IRPA\0\0\0\0", "an IREE parameter file, not a sharkpack bundle"),
        (b"<html>not found</html>", "something that starts with b'<htm', not a sharkpack bundle"),
        (b"version https://git-lfs", "something that starts with b'vers', not a sharkpack bundle"),
    ],
)
def test_other_files(content: bytes, message: str, opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match=message):
        opened(content)


def test_zip_made_by_another_tool(tmp_path: Path) -> None:
    path = tmp_path / "other.shark"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries(GOOD):
            archive.writestr(name, content)
    with pytest.raises(SharkpackError, match="some other ZIP archive, not a sharkpack bundle"):
        Archive.open(path)


def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SharkpackError, match="is not a regular file"):
            Archive.open(path)
    with pytest.raises(SharkpackError, match=r"nowhere\.shark: cannot open: No such file or directory"):
        Archive.open(tmp_path / "nowhere.shark")
