"""The ZIP64 records of an archive, byte for byte: how each is written, and how a directory is read back.

Knows records; not files, manifests or hashes. There is one way to write a record, so reading is: take the values out,
write them again, compare.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from sharkpack.formats.archive.member_path import MAX_PATH_LENGTH, check_distinct, check_member_path
from sharkpack.formats.errors import SharkpackError

DATA_ALIGNMENT = 16384
MAX_MEMBERS = 1024
MIMETYPE_PATH = "mimetype"
MIMETYPE = b"application/vnd.shark+zip"

# 1980-01-01 00:00:00, the first moment that a ZIP time stamp can hold: date in the upper 16 bits, time in the lower.
DOS_EPOCH = 0x0021_0000

_LOCAL = struct.Struct("<4sHHHIIIIHH")
_CENTRAL = struct.Struct("<4sHHHHIIIIHHHHHII")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")
_LOCAL_SIZES = struct.Struct("<HHQQ")
_CENTRAL_SIZES = struct.Struct("<HHQQQ")
_ALIGNMENT = struct.Struct("<HHH")

_LOCAL_SIGNATURE, _CENTRAL_SIGNATURE = b"PK\x03\x04", b"PK\x01\x02"
_END64_SIGNATURE, _LOCATOR_SIGNATURE, END_SIGNATURE = b"PK\x06\x06", b"PK\x06\x07", b"PK\x05\x06"
_ZIP64_FIELD, _ALIGNMENT_FIELD = 0x0001, 0xD935  # the second is the one that Android's zipalign writes
_PLAIN_VERSION, _ZIP64_VERSION = 10, 45
_MADE_BY_UNIX, _REGULAR_FILE_0644 = 3 << 8, 0o100644 << 16
_IN_ZIP64_16, _IN_ZIP64_32 = 0xFFFF, 0xFFFFFFFF

END_SIZE = _END64.size + _LOCATOR.size + _END.size
_MAX_CENTRAL_SIZE = _CENTRAL.size + MAX_PATH_LENGTH + _CENTRAL_SIZES.size
_LOCAL_CRC32_OFFSET = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """ZIP record of one member. Offsets and sizes in bytes; `dos_time` is date << 16 | time."""

    path: str
    crc32: int
    size: int
    header_offset: int
    dos_time: int

    @property
    def crc32_offset(self) -> int:
        """Offset in the file of the local header's CRC-32 (4 bytes, little-endian)."""
        return self.header_offset + _LOCAL_CRC32_OFFSET

    @property
    def data_offset(self) -> int:
        """Offset in the file of the member's data: a multiple of DATA_ALIGNMENT, for all but `mimetype`."""
        name_end = self.header_offset + _LOCAL.size + len(self.path)
        if self.path == MIMETYPE_PATH:
            return name_end
        return -(-(name_end + _LOCAL_SIZES.size + _ALIGNMENT.size) // DATA_ALIGNMENT) * DATA_ALIGNMENT

    @property
    def end(self) -> int:
        return self.data_offset + self.size


def mimetype_record() -> Record:
    """The first member of every archive."""
    return Record(
        path=MIMETYPE_PATH, crc32=zlib.crc32(MIMETYPE), size=len(MIMETYPE), header_offset=0, dos_time=DOS_EPOCH
    )


def local_header(record: Record) -> bytes:
    """The bytes from `header_offset` to `data_offset`."""
    name = record.path.encode("ascii")
    if record.path == MIMETYPE_PATH:
        # Plain sizes and no extra field, so that the type stands at byte 38, where file(1) and others look for it.
        version, size, extra = _PLAIN_VERSION, record.size, b""
    else:
        version, size = _ZIP64_VERSION, _IN_ZIP64_32
        extra = _LOCAL_SIZES.pack(_ZIP64_FIELD, 16, record.size, record.size)
        room = record.data_offset - record.header_offset - _LOCAL.size - len(name) - len(extra)
        extra += _ALIGNMENT.pack(_ALIGNMENT_FIELD, room - 4, DATA_ALIGNMENT) + bytes(room - _ALIGNMENT.size)
    fixed = _LOCAL.pack(
        _LOCAL_SIGNATURE, version, 0, 0, record.dos_time, record.crc32, size, size, len(name), len(extra)
    )
    return fixed + name + extra


def central_record(record: Record) -> bytes:
    """The member's entry in the central directory."""
    name = record.path.encode("ascii")
    if record.path == MIMETYPE_PATH:
        version, size, offset, extra = _PLAIN_VERSION, record.size, record.header_offset, b""
    else:
        version, size, offset = _ZIP64_VERSION, _IN_ZIP64_32, _IN_ZIP64_32
        extra = _CENTRAL_SIZES.pack(_ZIP64_FIELD, 24, record.size, record.size, record.header_offset)
    return (
        _CENTRAL.pack(
            *(_CENTRAL_SIGNATURE, _MADE_BY_UNIX | _ZIP64_VERSION, version, 0, 0, record.dos_time, record.crc32),
            *(size, size, len(name), len(extra), 0, 0, 0, _REGULAR_FILE_0644, offset),
        )
        + name
        + extra
    )


def directory(records: Sequence[Record]) -> bytes:
    """Returns what follows the last member: the central directory and the end records."""
    entries = b"".join(map(central_record, records))
    return entries + end_records(len(records), records[-1].end, len(entries))


def end_records(count: int, directory_offset: int, directory_size: int) -> bytes:
    """Returns what follows the central directory: ZIP64 end record, its locator, end record; END_SIZE bytes."""
    end64 = _END64.pack(
        *(_END64_SIGNATURE, _END64.size - 12, _MADE_BY_UNIX | _ZIP64_VERSION, _ZIP64_VERSION),
        *(0, 0, count, count, directory_size, directory_offset),
    )
    locator = _LOCATOR.pack(_LOCATOR_SIGNATURE, 0, directory_offset + directory_size, 1)
    end = _END.pack(END_SIGNATURE, 0, 0, *[_IN_ZIP64_16] * 2, *[_IN_ZIP64_32] * 2, 0)
    return end64 + locator + end


def read_directory(view: memoryview) -> list[Record]:
    """The records of a whole archive, in file order; every byte outside the members' data is checked.

    Raises SharkpackError, in words that follow "<path>: ", for whatever the format does not allow.
    """
    start, end, count = _read_end(view)
    records: list[Record] = []
    offset, header_offset = start, 0
    for _ in range(count):
        record = _read_central(view[offset:end])
        if record.header_offset != header_offset:
            kind = "overlaps what is before it" if record.header_offset < header_offset else "leaves a gap before it"
            raise SharkpackError(f"member {record.path!r} {kind}; the file is damaged or was not made by sharkpack")
        if record.end > start:
            raise SharkpackError(f"member {record.path!r} reaches past the central directory; the file is damaged")
        _check_local(view, record)
        records.append(record)
        offset, header_offset = offset + len(central_record(record)), record.end
    if offset != end or header_offset != start:
        raise SharkpackError("bytes that belong to no member; the file is damaged or was not made by sharkpack")
    check_distinct(record.path for record in records)
    if not records or records[0] != mimetype_record():
        raise SharkpackError(f"the first member is not {MIMETYPE_PATH!r}; this is not a sharkpack bundle")
    return records


def _read_end(view: memoryview) -> tuple[int, int, int]:
    """Start and end of the central directory, and its number of members."""
    end_offset = len(view) - END_SIZE
    if end_offset < 0 or view[-_END.size :][:4] != END_SIGNATURE:
        raise _no_end(view)
    count, _, size, start = _END64.unpack_from(view, end_offset)[-4:]
    if _END.unpack_from(view, len(view) - _END.size)[-1] != 0:
        raise SharkpackError("the end record announces a comment; bundles carry none")
    if start + size != end_offset or view[end_offset:] != end_records(count, start, size):
        raise SharkpackError("the end records are damaged or doubled; get the file again")
    if count > MAX_MEMBERS or size > MAX_MEMBERS * _MAX_CENTRAL_SIZE:
        raise SharkpackError(f"{count} members in a directory of {size} bytes; at most {MAX_MEMBERS} are allowed")
    return start, end_offset, count


def _no_end(view: memoryview) -> SharkpackError:
    tail = bytes(view[-(_END.size + 0xFFFF) :])
    found = tail.rfind(END_SIGNATURE)
    if found >= _LOCATOR.size and tail[found - _LOCATOR.size :].startswith(_LOCATOR_SIGNATURE):
        extra = len(tail) - found - _END.size
        if extra > 0:
            return SharkpackError(
                f"{extra} bytes (a comment or trailing data) follow the end record; bundles carry none"
            )
    return SharkpackError(f"the file is cut short: no end record after {len(view)} bytes; get or build it again")


def _read_central(view: memoryview) -> Record:
    if len(view) < _CENTRAL.size or view[:4] != _CENTRAL_SIGNATURE:
        raise SharkpackError("the central directory is damaged: a record is missing; get the file again")
    fields = _CENTRAL.unpack_from(view)
    flags, method, dos_time, crc32, size = fields[3:8]
    name_length, extra_length, comment_length = fields[9:12]
    name = bytes(view[_CENTRAL.size : _CENTRAL.size + name_length])
    path = _decode_path(name)
    _check_plain(path, flags, method)
    if comment_length:
        raise SharkpackError(f"member {path!r} has a comment; bundles carry none")
    header_offset = fields[-1]
    extra = view[_CENTRAL.size + name_length :][:extra_length]
    if len(extra) == _CENTRAL_SIZES.size:
        size, _, header_offset = _CENTRAL_SIZES.unpack(extra)[2:]
    record = Record(path=path, crc32=crc32, size=size, header_offset=header_offset, dos_time=dos_time)
    expected = central_record(record)
    if bytes(view[: len(expected)]) != expected:
        raise SharkpackError(f"the directory entry of {path!r} is not as sharkpack writes it; the file is damaged")
    return record


def _check_local(view: memoryview, record: Record) -> None:
    flags, method = _LOCAL.unpack_from(view, record.header_offset)[2:4]
    _check_plain(record.path, flags, method)
    # As bytes, which are compared at once: views are compared element by element.
    if bytes(view[record.header_offset : record.data_offset]) != local_header(record):
        raise SharkpackError(f"local and central headers of {record.path!r} disagree; the file is damaged")


def _check_plain(path: str, flags: int, method: int) -> None:
    if flags & 0x0001:
        raise SharkpackError(f"member {path!r} is encrypted; members of a bundle are not")
    if flags & 0x0008:
        raise SharkpackError(f"member {path!r} has a data descriptor; members of a bundle have none")
    if method != 0:
        raise SharkpackError(f"member {path!r} is compressed (ZIP method {method}); members of a bundle are stored")


def _decode_path(name: bytes) -> str:
    if not name.isascii():
        raise SharkpackError(f"member name {name!r} is not ASCII")
    path = name.decode("ascii")
    check_member_path(path)
    return path
