"""IREE parameter archives (IRPA, version 0.0): planned, streamed and strictly read. Knows bytes, not what tensors mean.

The layout is that of IREE's runtime/src/iree/schemas/parameter_archive.h; only DATA entries are written or accepted.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.tensor_file import TensorFilePlan, TensorPlace

TENSOR_ALIGNMENT = 64
PARAMETER_SCOPE = "model"
"""The scope in which programs name the tensors of a bundle's one archive."""
MAX_TENSORS = 1 << 20

_MAGIC = b"IRPA"
_HEADER = struct.Struct("<4sHHQQQQ6Q")  # magic, major, minor, size, next, flags, entries, three (offset, length)
_ENTRY = struct.Struct("<QIQ4QQ2Q")  # size, type, flags, name, metadata, alignment, storage
_TABLE_ALIGNMENT = 16
_TABLE_OFFSET = -(-_HEADER.size // _TABLE_ALIGNMENT) * _TABLE_ALIGNMENT
_ENTRY_STRIDE = -(-_ENTRY.size // _TABLE_ALIGNMENT) * _TABLE_ALIGNMENT
_SKIP_ENTRY, _SPLAT_ENTRY, _DATA_ENTRY, _EXTERNAL_ENTRY = range(4)
_ENTRY_KINDS = {_SKIP_ENTRY: "a SKIP", _SPLAT_ENTRY: "a SPLAT", _EXTERNAL_ENTRY: "an EXTERNAL"}


def plan_irpa(
    entries: Sequence[tuple[str, int]], alignment: int = TENSOR_ALIGNMENT, notes: Mapping[str, bytes] | None = None
) -> TensorFilePlan:
    """Lay out tensors `(name, nbytes)` in the order given, each at a multiple of `alignment` bytes.

    notes: what to say of a tensor, by name (see `sharkpack.formats.model_files.tensor_note`).

    Raises SharkpackError for an empty or repeated name, an empty tensor, or an alignment that is not a power of two
    of at least 64.
    """
    if alignment < TENSOR_ALIGNMENT or alignment & (alignment - 1):
        raise SharkpackError(f"tensor alignment {alignment}; use a power of two of at least {TENSOR_ALIGNMENT}")
    names = [name.encode("utf-8") for name, _ in entries]
    remarks = [(notes or {}).get(name, b"") for name, _ in entries]
    _check_planned(entries)
    table_size = len(entries) * _ENTRY_STRIDE
    names_offset = _TABLE_OFFSET + table_size
    name_offset, note_offset = 0, sum(map(len, names))
    names_size = note_offset + sum(map(len, remarks))
    storage_offset = _align(names_offset + names_size, alignment)
    table = bytearray()
    placed: list[TensorPlace] = []
    end = storage_offset
    for raw_name, remark, (name, nbytes) in zip(names, remarks, entries, strict=True):
        offset = _align(end, alignment)
        remark_place = (note_offset, len(remark)) if remark else (0, 0)
        fields = (_ENTRY.size, _DATA_ENTRY, 0, name_offset, len(raw_name), *remark_place, alignment)
        table += _ENTRY.pack(*fields, offset - storage_offset, nbytes).ljust(_ENTRY_STRIDE, b"\0")
        placed.append(TensorPlace(name=name, offset=offset, nbytes=nbytes))
        name_offset, note_offset, end = name_offset + len(raw_name), note_offset + len(remark), offset + nbytes
    segments = (_TABLE_OFFSET, table_size, names_offset, names_size, storage_offset, end - storage_offset)
    fixed = _HEADER.pack(_MAGIC, 0, 0, _HEADER.size, 0, 0, len(entries), *segments)
    header = (fixed.ljust(_TABLE_OFFSET, b"\0") + bytes(table) + b"".join(names + remarks)).ljust(storage_offset, b"\0")
    return TensorFilePlan(header=header, entries=tuple(placed), total_size=end)


def _check_planned(entries: Sequence[tuple[str, int]]) -> None:
    seen: set[str] = set()
    for name, nbytes in entries:
        if not name or nbytes <= 0:
            raise SharkpackError(f"tensor {name!r} of {nbytes} bytes; a parameter file holds named, non-empty tensors")
        if name in seen:
            raise SharkpackError(f"two tensors are named {name!r}")
        seen.add(name)
    if len(entries) > MAX_TENSORS:
        raise SharkpackError(f"{len(entries)} tensors; a parameter file holds at most {MAX_TENSORS}")


def read_irpa_index(view: memoryview) -> dict[str, tuple[int, int]]:
    """Map each tensor's name to (offset, nbytes), in bytes from the start of `view`, which is a whole parameter file.

    Raises SharkpackError unless every tensor lies inside the file, at a multiple of 64 bytes, clear of the tables and
    of every other tensor, and is plain data under a name of its own.
    """
    count, table, names, storage = _read_header(view)
    index: dict[str, tuple[int, int]] = {}
    for name, _, offset, nbytes in _read_entries(view[table[0] : table[1]], view[names[0] : names[1]], count):
        if name in index:
            raise SharkpackError(f"parameter file: two tensors are named {name!r}")
        if nbytes == 0 or offset + nbytes > storage[1] - storage[0]:
            raise SharkpackError(f"parameter file: tensor {name!r} ({nbytes} bytes at {offset}) is outside its storage")
        if (storage[0] + offset) % TENSOR_ALIGNMENT:
            raise SharkpackError(f"parameter file: tensor {name!r} is not at a multiple of {TENSOR_ALIGNMENT} bytes")
        index[name] = (storage[0] + offset, nbytes)
    _check_apart(index)
    return index


def read_irpa_notes(view: memoryview) -> dict[str, bytes]:
    """Reads the notes of a whole, sound parameter file on its tensors, by name; empty where it says nothing."""
    count, table, names, _ = _read_header(view)
    entries = _read_entries(view[table[0] : table[1]], view[names[0] : names[1]], count)
    return {name: note for name, note, _, _ in entries}


def _read_header(view: memoryview) -> tuple[int, tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Number of tensors; then start and end of the entry table, the names and the storage."""
    if len(view) < _HEADER.size:
        raise SharkpackError(f"parameter file: {len(view)} bytes are too few for a header")
    magic, major, minor, header_size, following, flags, count, *segments = _HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise SharkpackError(f"parameter file: starts with {magic!r}, not {_MAGIC!r}")
    if (major, minor, header_size) != (0, 0, _HEADER.size):
        raise SharkpackError(f"parameter file: version {major}.{minor}; this sharkpack reads 0.0")
    if following or flags:
        raise SharkpackError("parameter file: linked archives and flags are not supported")
    end = _HEADER.size
    ranges: list[tuple[int, int]] = []
    for kind, offset, length in zip(("entry table", "names", "storage"), segments[::2], segments[1::2], strict=True):
        # Other writers give empty segments any offset.
        if length and not end <= offset <= offset + length <= len(view):
            raise SharkpackError(
                f"parameter file: its {kind} ({length} bytes at {offset}) is out of place or cut short"
            )
        end = offset + length if length else end
        ranges.append((offset, offset + length))
    if count > MAX_TENSORS or count * _ENTRY.size > segments[1]:
        raise SharkpackError(f"parameter file: {count} tensors do not fit a table of {segments[1]} bytes")
    return count, ranges[0], ranges[1], ranges[2]


def _read_entries(table: memoryview, names: memoryview, count: int) -> Iterator[tuple[str, bytes, int, int]]:
    """Yield (name, note, offset in the storage segment, nbytes) of each entry."""
    position = 0
    for number in range(count):
        if position + _ENTRY.size > len(table):
            raise SharkpackError(f"parameter file: entry {number} reaches past the entry table")
        fields = _ENTRY.unpack_from(table, position)
        size, kind, _, name_offset, name_size, note_offset, note_size, _, offset, nbytes = fields
        if kind != _DATA_ENTRY or size != _ENTRY.size:
            found = _ENTRY_KINDS.get(kind, f"a type {kind}")
            raise SharkpackError(f"parameter file: entry {number} is {found} entry of {size} bytes, not plain data")
        if name_size == 0 or name_offset + name_size > len(names):
            raise SharkpackError(f"parameter file: the name of entry {number} is empty or out of bounds")
        try:
            name = bytes(names[name_offset : name_offset + name_size]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise SharkpackError(f"parameter file: the name of entry {number} is not UTF-8") from error
        if note_offset + note_size > len(names):
            raise SharkpackError(f"parameter file: the metadata of entry {number} is out of bounds")
        yield name, bytes(names[note_offset : note_offset + note_size]), offset, nbytes
        position += _ENTRY_STRIDE


def _check_apart(index: dict[str, tuple[int, int]]) -> None:
    end, previous = 0, ""
    for name, (offset, nbytes) in sorted(index.items(), key=lambda item: item[1]):
        if offset < end:
            raise SharkpackError(f"parameter file: tensors {previous!r} and {name!r} overlap")
        end, previous = offset + nbytes, name


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
