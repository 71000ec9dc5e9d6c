"""Strict reader of the header of a safetensors file: names, dtypes, shapes and places. Never reads a weight."""

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import wrong_file
from sharkpack.formats.io.one_line import one_line

MAX_HEADER_BYTES = 100_000_000

_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_DTYPE_BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "I64": 64,
    "U64": 64,
    "F64": 64,
    "C64": 64,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsTensor:
    """The place of a tensor; `offset` counts from the start of the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetensorsIndex:
    """The content of a safetensors header. `tensors` is ordered by offset."""

    path: Path
    size: int
    metadata: dict[str, str]
    tensors: dict[str, SafetensorsTensor]


def read_safetensors_index(path: str | os.PathLike[str]) -> SafetensorsIndex:
    """Read the header of the file at `path`; raise SharkpackError unless header and file agree byte for byte.

    The rules are those of the format's own reference: tensors fill the file from the end of the header to the last
    byte, without a hole or an overlap.
    """
    path = Path(path)
    header, size = _read_header(path)
    start = _LENGTH_BYTES + len(header)
    entries = _parse(path, header)
    metadata = _metadata(path, entries.pop(_METADATA, {}))
    tensors = [_tensor(path, name, entry, start) for name, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.nbytes))
    _check_cover(path, tensors, start, size)
    return SafetensorsIndex(path=path, size=size, metadata=metadata, tensors={t.name: t for t in tensors})


def _fail(path: Path, problem: str) -> NoReturn:
    raise SharkpackError(f"{path}: {one_line(problem)}")


def _read_header(path: Path) -> tuple[bytes, int]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if length > MAX_HEADER_BYTES and file.read(1) == b"{":
                _fail(path, f"a header of {length} bytes; at most {MAX_HEADER_BYTES} are allowed")
            if size < _LENGTH_BYTES or not 2 <= length <= MAX_HEADER_BYTES:
                raise wrong_file(path, "a safetensors file", "it does not begin with the length of a header")
            if length > size - _LENGTH_BYTES:
                _fail(path, f"the file is cut short: its header has {length} bytes and the file {size}")
            return file.read(length), size
    except IsADirectoryError as error:
        raise wrong_file(path, "a safetensors file", "it is a folder") from error
    except OSError as error:
        _fail(path, f"cannot be read: {error.strerror}")


def _parse(path: Path, header: bytes) -> dict[str, Any]:
    if not header.startswith(b"{"):
        raise wrong_file(path, "a safetensors file", "its header is not a JSON object")
    try:
        entries = json.loads(header.decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        _fail(path, f"the header is not valid JSON: {error}")
    return entries  # type: ignore[no-any-return]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key '{key}' appears twice")
        values[key] = value
    return values


def _metadata(path: Path, values: object) -> dict[str, str]:
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        _fail(path, f"'{_METADATA}' is not an object of strings")
    return values


def _tensor(path: Path, name: str, entry: object, start: int) -> SafetensorsTensor:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _fail(path, f"tensor '{name}' needs exactly dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPE_BITS:
        _fail(path, f"tensor '{name}' has dtype {dtype!r}; known: {', '.join(_DTYPE_BITS)}")
    if not _are_sizes(shape):
        _fail(path, f"tensor '{name}' has shape {shape!r}; expected a list of sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _fail(path, f"tensor '{name}' has data_offsets {offsets!r}; expected its begin and its end")
    bits = prod(shape) * _DTYPE_BITS[dtype]
    nbytes = offsets[1] - offsets[0]
    if bits != 8 * nbytes:
        _fail(path, f"tensor '{name}' is {dtype} of shape {shape}, {bits / 8:g} bytes, but its place has {nbytes}")
    return SafetensorsTensor(name=name, dtype=dtype, shape=tuple(shape), offset=start + offsets[0], nbytes=nbytes)


def _are_sizes(values: object) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _check_cover(path: Path, tensors: list[SafetensorsTensor], start: int, size: int) -> None:
    end = start
    for tensor in tensors:
        if tensor.offset != end:
            kind = "overlaps the one before it" if tensor.offset < end else "leaves a hole before it"
            _fail(path, f"tensor '{tensor.name}' {kind} (it begins at byte {tensor.offset}, not {end})")
        end += tensor.nbytes
    if end != size:
        _fail(path, f"its tensors end at byte {end} and the file at byte {size}; download it again")
