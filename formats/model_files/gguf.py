"""Strict reader of GGUF files, versions 2 and 3, little-endian: one mapping, metadata parsed, tensors left in place.

Knows the container only: not what a key means to an architecture, nor how a quantised block decodes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import wrong_file
from sharkpack.formats.io.mapped_file import MappedFile
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.model_files.ggml_types import GGML_TYPES
from sharkpack.formats.model_files.gguf_values import MAX_KEY_BYTES, GGUFCursor, MetadataValue
from sharkpack.formats.model_files.zero_tail import refuse_zero_tail

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32
MAX_DIMENSIONS = 4

# The fewest bytes that one entry takes: lets a count be checked against the file before anything is read.
_LEAST_KEY_VALUE_BYTES = 8 + 1 + 4 + 1
_LEAST_TENSOR_BYTES = 8 + 1 + 4 + 4 + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class GGUFTensor:
    """The place of a tensor. `shape` is row-major (outermost first), `offset` counts from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    type_id: int
    offset: int
    nbytes: int


class GGUFFile:
    """An open GGUF file; a context manager. `metadata` keeps the order of the file, `tensors` that of their data.

    Everything in the header is checked when it opens; tensor bytes are read only through `raw`.
    """

    def __init__(
        self,
        file: MappedFile,
        metadata: dict[str, MetadataValue],
        spans: dict[str, slice],
        tensors: dict[str, GGUFTensor],
    ) -> None:
        self.path = file.path
        self.size = len(file.mapping)
        self.metadata: Mapping[str, MetadataValue] = MappingProxyType(metadata)
        self.tensors: Mapping[str, GGUFTensor] = MappingProxyType(tensors)
        self._file = file
        self._spans = spans

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Map and check the file at `path`; raise SharkpackError when it is not a whole, well-formed GGUF file."""
        file = MappedFile.open(path)
        try:
            cursor = GGUFCursor(file.mapping, str(path))
            tensor_count, value_count = _read_start(cursor)
            metadata, spans = _read_metadata(cursor, value_count)
            tensors = _read_tensors(cursor, tensor_count, _alignment(cursor, metadata))
        except BaseException:
            file.close()
            raise
        return cls(file, metadata, spans, tensors)

    def encoded(self, key: str) -> bytes:
        """Type and bytes of the metadata value `key`, as another GGUF file can have them."""
        return self._file.mapping[self._spans[key]]

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of a tensor: a read-only 1-D uint8 view on the mapping, nothing copied."""
        tensor = self._tensor(name)
        return self._file.view(tensor.offset, tensor.nbytes)

    def release(self, name: str) -> None:
        """Let the system drop the tensor's pages from memory; views stay valid and read from the file again."""
        tensor = self._tensor(name)
        self._file.release(tensor.offset, tensor.nbytes)

    def refuse_zero_tail(self) -> None:
        """Raise SharkpackError where the file ends in zeros because its download broke off."""
        refuse_zero_tail(self.path, self._file.view(0, self.size), self.tensors.values())

    def close(self) -> None:
        """Unmap the file; while views of it are alive, it stays mapped until the last of them goes."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tensor(self, name: str) -> GGUFTensor:
        if name not in self.tensors:
            raise SharkpackError(f"{self.path}: no tensor is named '{one_line(name)}'")
        return self.tensors[name]


def _read_start(cursor: GGUFCursor) -> tuple[int, int]:
    """Check magic and version; return the counts of tensors and of metadata values."""
    magic = cursor.mapping[: len(MAGIC)]
    if magic != MAGIC:
        raise wrong_file(Path(cursor.name), "a GGUF file", f"it begins with {magic!r}, not {MAGIC!r}")
    cursor.position = len(MAGIC)
    version = cursor.uint32()
    if version and version & 0xFFFF == 0:
        cursor.fail("a big-endian GGUF file; only little-endian ones can be read: convert it again")
    if version not in VERSIONS:
        cursor.fail(f"GGUF version {version}; versions {VERSIONS[0]} and {VERSIONS[1]} can be read: convert it again")
    tensor_count, value_count = cursor.uint64(), cursor.uint64()
    cursor.need(tensor_count * _LEAST_TENSOR_BYTES, f"a header of {tensor_count} tensors")
    cursor.need(value_count * _LEAST_KEY_VALUE_BYTES, f"a header of {value_count} metadata values")
    return tensor_count, value_count


def _read_metadata(cursor: GGUFCursor, count: int) -> tuple[dict[str, MetadataValue], dict[str, slice]]:
    """Each value, and where the file has its type and its bytes."""
    metadata: dict[str, MetadataValue] = {}
    spans: dict[str, slice] = {}
    for index in range(count):
        key = cursor.string(f"metadata key {index}", most=MAX_KEY_BYTES)
        if not key:
            cursor.fail(f"the name of metadata key {index} is empty")
        if key in metadata:
            cursor.fail(f"the metadata key '{key}' appears twice")
        start = cursor.position
        metadata[key] = cursor.value(key)
        spans[key] = slice(start, cursor.position)
    return metadata, spans


def _alignment(cursor: GGUFCursor, metadata: Mapping[str, MetadataValue]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
        cursor.fail(f"general.alignment is {alignment!r}; expected a power of two")
    return alignment


def _read_tensors(cursor: GGUFCursor, count: int, alignment: int) -> dict[str, GGUFTensor]:
    """Read the tensor table, then check that every tensor lies in the file and that no two overlap."""
    relative = [_read_tensor(cursor, index, alignment) for index in range(count)]
    base = -(-cursor.position // alignment) * alignment
    tensors: dict[str, GGUFTensor] = {}
    end, last = base, ""
    for name, shape, type_id, offset, nbytes in sorted(relative, key=lambda entry: entry[3]):
        start = base + offset
        if start < end:
            cursor.fail(f"the tensors '{last}' and '{name}' overlap")
        end, last = start + nbytes, name
        if end > cursor.size:
            cursor.fail(
                f"the file is cut short: tensor '{name}' ends at byte {end} and the file has {cursor.size} bytes; "
                "download or convert it again"
            )
        tensors[name] = GGUFTensor(
            name=name,
            shape=shape,
            type_name=GGML_TYPES[type_id].name,
            type_id=type_id,
            offset=start,
            nbytes=nbytes,
        )
    if len(tensors) != count:
        names = [entry[0] for entry in relative]
        cursor.fail(f"two tensors are named '{next(name for name in names if names.count(name) > 1)}'")
    return tensors


def _read_tensor(cursor: GGUFCursor, index: int, alignment: int) -> tuple[str, tuple[int, ...], int, int, int]:
    """One entry of the table: name, row-major shape, type id, offset from the data's start, bytes."""
    name = cursor.string(f"the name of tensor {index}", most=MAX_KEY_BYTES)
    dimensions = cursor.uint32()
    if dimensions > MAX_DIMENSIONS:
        cursor.fail(f"tensor '{name}' has {dimensions} dimensions; at most {MAX_DIMENSIONS} are allowed")
    shape = tuple(cursor.uint64() for _ in range(dimensions))[::-1]
    type_id = cursor.uint32()
    offset = cursor.uint64()
    if type_id not in GGML_TYPES:
        cursor.fail(f"tensor '{name}' has tensor type {type_id}, which is not a GGML type known here")
    kind = GGML_TYPES[type_id]
    if 0 in shape or (shape[-1] if shape else 1) % kind.block:
        cursor.fail(f"tensor '{name}' has shape {shape}, whose rows are not whole {kind.name} blocks of {kind.block}")
    if offset % alignment:
        cursor.fail(f"tensor '{name}' lies at offset {offset}, which is not a multiple of the alignment {alignment}")
    return name, shape, type_id, offset, prod(shape) // kind.block * kind.block_bytes
