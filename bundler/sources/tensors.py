"""Tensors of source models: their protocol, and the kinds that several sources have."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant.block import Bytes, Floats


class TensorDescription(Protocol):
    """Protocol for a tensor of a described model; `shape` is row-major, `type_name` a GGML type such as "Q4_1"."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def type_name(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    def read(self) -> Bytes:
        """All of its bytes, uint8 [nbytes], read-only."""


class SourceTensor(TensorDescription, Protocol):
    """Protocol for a tensor whose content can be read, as often as wanted, until its source is closed."""

    def rows(self, index: slice | RowOrder) -> Bytes:
        """uint8 [rows, row bytes]: those that `index` picks, of a matrix whose columns are the last dimension. What is
        made in memory to read them does not grow with the tensor."""

    def release(self) -> None:
        """Let the memory go that was taken to read it; it can be read again."""


class TensorFile(Protocol):
    """Protocol for an open file of named tensors; `raw` gives views, nothing copied."""

    def raw(self, name: str) -> Bytes: ...
    def release(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor as `file` has it under `stored_name`."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    nbytes: int
    file: TensorFile = field(repr=False)
    stored_name: str

    def read(self) -> Bytes:
        return self.file.raw(self.stored_name)

    def rows(self, index: slice | RowOrder) -> Bytes:
        return self.read().reshape(math.prod(self.shape[:-1]), -1)[index]

    def release(self) -> None:
        self.file.release(self.stored_name)


class TensorMadeByRows(ABC):
    """Base of tensors whose rows are made when they are read; the whole is all of them."""

    __slots__ = ()

    @abstractmethod
    def rows(self, index: slice | RowOrder) -> Bytes:
        """Returns those rows, uint8 [rows, row bytes]."""

    def read(self) -> Bytes:
        return self.rows(slice(None)).reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedTensor(TensorMadeByRows):
    """A float32 tensor that no file has."""

    name: str
    values: Floats = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def type_name(self) -> str:
        return "F32"

    @property
    def nbytes(self) -> int:
        return 4 * self.values.size

    def rows(self, index: slice | RowOrder) -> Bytes:
        rows = self.values.reshape(math.prod(self.shape[:-1]), -1)[index]
        return float32_bytes(rows)

    def release(self) -> None:
        """It stays in memory."""


def float32_bytes(rows: Floats) -> Bytes:
    """uint8 [rows, 4 * columns] of float32 [rows, columns]."""
    return np.ascontiguousarray(rows, "<f4").view(np.uint8)
