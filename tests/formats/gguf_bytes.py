"""GGUF files put together from their parts, byte by byte: what a writer of the format would not write."""

import struct
from collections.abc import Sequence


def string(text: str | bytes) -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def key_value(key: str, type_id: int, data: bytes) -> bytes:
    return string(key) + struct.pack("<I", type_id) + data


def entry(name: str, shape: Sequence[int] = (32,), type_id: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type_id, offset)


def build(
    values: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: int = 3,
    alignment: int = 32,
) -> bytes:
    header = magic + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join([*values, *tensors])
    return header + bytes(-len(header) % alignment) + data
