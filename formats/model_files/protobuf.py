"""The wire format of Protocol Buffers, read strictly: fields by number. Knows no message's schema."""

import struct
from collections.abc import Iterator

from sharkpack.formats.errors import SharkpackError

Field = tuple[int, int | float | bytes]
"""Number; an integer (varint), a float (32 bits) or bytes (text, messages, 64-bit values)."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_fields(data: bytes) -> Iterator[Field]:
    """The fields of one message, in their order; SharkpackError when it is not well-formed."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, position = _varint(data, position)
        if size is None or number == 0 or position + size > len(data):
            raise SharkpackError(f"not a Protocol Buffers message (at byte {position})")
        part = data[position : position + size]
        position += size
        yield number, struct.unpack("<f", part)[0] if kind == _FIXED32 else part


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise SharkpackError(f"not a Protocol Buffers message (at byte {position})")
