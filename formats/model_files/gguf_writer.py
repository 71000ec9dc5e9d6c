"""GGUF files, version 3, little-endian: metadata and the table of tensors planned at once. Knows the container only.

The layout is that of ggml's docs/gguf.md; `formats.gguf` reads it.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.ggml_types import GGML_TYPES, GGMLType
from sharkpack.formats.model_files.gguf import DEFAULT_ALIGNMENT, MAGIC, MAX_DIMENSIONS
from sharkpack.formats.model_files.gguf_values import MAX_KEY_BYTES, MetadataValue
from sharkpack.formats.model_files.tensor_file import TensorFilePlan, TensorPlace

MAX_NAME_BYTES = 63  # what ggml has room for

_UINT32, _INT32, _FLOAT32, _BOOL, _STRING, _ARRAY, _UINT64, _INT64 = 4, 5, 6, 7, 8, 9, 10, 11
_RANGES = {
    _UINT32: (0, (1 << 32) - 1),
    _INT32: (-(1 << 31), (1 << 31) - 1),
    _INT64: (-(1 << 63), (1 << 63) - 1),
    _UINT64: (0, (1 << 64) - 1),
}
_BY_NAME = {kind.name: kind for kind in GGML_TYPES.values()}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """A tensor to be written: `shape` is row-major, `type_name` a GGML type."""

    name: str
    shape: tuple[int, ...]
    type_name: str


def plan_gguf(values: Mapping[str, bytes], tensors: Sequence[TensorSpec]) -> TensorFilePlan:
    """Lay out a file of the metadata `values`, encoded by `encode_value` or taken from a file, and `tensors` in order.

    Raises SharkpackError for names that are too long or not distinct, and for rows that are not whole blocks.
    """
    alignment = _alignment(values)
    header = bytearray(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(values)))
    for key, encoded in values.items():
        header += _string(key, "metadata key", MAX_KEY_BYTES) + encoded
    offset, sizes = 0, []
    for tensor in tensors:
        kind = _checked_type(tensor)
        size = prod(tensor.shape) // kind.block * kind.block_bytes
        header += _string(tensor.name, "tensor name", MAX_NAME_BYTES)
        header += struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        header += struct.pack("<IQ", kind.ggml_id, offset)
        sizes.append((offset, size))
        offset += _align(size, alignment)
    if len({tensor.name for tensor in tensors}) != len(tensors):
        raise SharkpackError("two tensors of a GGUF file cannot have one name")
    start = _align(len(header), alignment)
    places = tuple(
        TensorPlace(name=tensor.name, offset=start + at, nbytes=size)
        for tensor, (at, size) in zip(tensors, sizes, strict=True)
    )
    return TensorFilePlan(header=bytes(header.ljust(start, b"\0")), entries=places, total_size=start + offset)


def encode_value(value: MetadataValue) -> bytes:
    """The type and the bytes of a metadata value, in the types that ggml expects: whole numbers as uint32 if they fit,
    arrays of them as int32, other numbers as float32."""
    if isinstance(value, list):
        kind = _type_of(value, _INT32)
        return struct.pack("<IIQ", _ARRAY, kind, len(value)) + _items(kind, value)
    kind = _type_of([value], _UINT32)
    return struct.pack("<I", kind) + _items(kind, [value])


def _type_of(items: Sequence[bool | int | float | str], whole: int) -> int:
    """The one type that holds all items, `whole` if they are whole numbers that fit it; that for arrays of none too."""
    if all(isinstance(item, str) for item in items):
        return _STRING if items else whole
    if all(isinstance(item, bool) for item in items):
        return _BOOL
    if not all(isinstance(item, int) for item in items):
        return _FLOAT32
    least, most = min(map(int, items)), max(map(int, items))
    fitting = [kind for kind, (low, high) in _RANGES.items() if low <= least and most <= high]
    return whole if whole in fitting else fitting[0]


def _items(kind: int, items: Sequence[bool | int | float | str]) -> bytes:
    if kind == _STRING:
        encoded = [str(item).encode() for item in items]
        return b"".join(struct.pack("<Q", len(each)) + each for each in encoded)
    dtype = {_UINT32: "<u4", _INT32: "<i4", _FLOAT32: "<f4", _BOOL: "u1", _UINT64: "<u8", _INT64: "<i8"}[kind]
    return np.array(items).astype(dtype).tobytes()


def _string(text: str, what: str, most: int) -> bytes:
    encoded = text.encode()
    if not 0 < len(encoded) <= most:
        raise SharkpackError(f"{what} {text!r} has {len(encoded)} bytes; GGUF allows 1 to {most}")
    return struct.pack("<Q", len(encoded)) + encoded


def _checked_type(tensor: TensorSpec) -> GGMLType:
    kind = _BY_NAME.get(tensor.type_name)
    if kind is None or not 1 <= len(tensor.shape) <= MAX_DIMENSIONS or tensor.shape[-1] % kind.block:
        raise SharkpackError(
            f"a tensor '{tensor.name}' of {tensor.type_name} {list(tensor.shape)} has no place in GGUF"
        )
    return kind


def _alignment(values: Mapping[str, bytes]) -> int:
    """Returns the value of the metadata for it, as the reader will take it."""
    encoded = values.get("general.alignment")
    return DEFAULT_ALIGNMENT if encoded is None else int.from_bytes(encoded[4:], "little")


def _align(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
