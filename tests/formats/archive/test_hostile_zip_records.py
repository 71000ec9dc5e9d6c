"""Attacks on the ZIP file: for every rule of the strict reader about records and names, a file that breaks it."""

import struct
from collections.abc import Callable

import pytest

from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.sample_bundle import MODULE_PATH, PARAMETERS_PATH
from sharkpack.formats.archive.zip_records import END_SIZE
from sharkpack.formats.errors import SharkpackError
from tests.formats.archive.archive_edits import (
    GOOD,
    assemble,
    central_offset,
    entries,
    in_central,
    in_end64,
    in_local,
    in_zip64,
    named,
    patch,
    record,
    records,
    with_gap,
)

Attack = Callable[[bytes], bytes]

ZIP_ATTACKS: dict[str, tuple[Attack, str]] = {
    "trailing byte": (lambda d: d + b"\0", r"1 bytes \(a comment or trailing data\) follow the end record"),
    "comment": (lambda d: d[:-2] + b"\3\0abc", "3 bytes .* follow the end record"),
    "announced comment": (lambda d: d[:-2] + b"\3\0", "announces a comment"),
    "second end record": (lambda d: d + d[-22:], "the end records are damaged or doubled"),
    "second set of end records": (lambda d: d + d[-END_SIZE:], "the end records are damaged or doubled"),
    "second directory": (lambda d: d + d[central_offset("mimetype") :], "the end records are damaged or doubled"),
    "two archives in one": (lambda d: d + d, "the end records are damaged or doubled"),
    "something in front": (
        lambda d: b"#!/bin/sh\n" + d,
        "not a sharkpack bundle but something that starts with b'#!/b'",
    ),
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
    "gap before the directory": (with_gap, "bytes that belong to no member"),
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
        "not a sharkpack bundle but some other ZIP archive",
    ),
    "another mimetype": (
        lambda d: assemble([("mimetype", b"application/epub+zip"), *entries(GOOD)[1:]]),
        "not a sharkpack bundle but some other ZIP archive",
    ),
    "manifest not last": (
        lambda d: assemble([*entries(GOOD)[:-2], entries(GOOD)[-1], entries(GOOD)[-2]]),
        "member 'targets/generic/module.vmfb' follows the manifest and is no signature",
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


@pytest.mark.parametrize("name", ZIP_ATTACKS)
def test_zip_attacks(name: str, opened: Callable[[bytes], Archive]) -> None:
    attack, message = ZIP_ATTACKS[name]
    with pytest.raises(SharkpackError, match=rf"evil\.shark: .*{message}"):
        opened(attack(GOOD))


@pytest.mark.parametrize("name", NAMES)
def test_unsafe_names(name: bytes, opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match=r"unsafe member name|is not ASCII") as caught:
        opened(named(GOOD, PARAMETERS_PATH, name))
    assert str(caught.value).isprintable()


def test_name_that_is_too_long(opened: Callable[[bytes], Archive]) -> None:
    with pytest.raises(SharkpackError, match="member name of 256 characters; at most 255"):
        opened(assemble([entries(GOOD)[0], ("a" * 256, b""), entries(GOOD)[-1]]))


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
