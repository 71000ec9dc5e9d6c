"""Tensors in another type: planned, with type and size alone; and made, row by row, as they are read."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from sharkpack.bundler.quantize.float_rows import float_rows
from sharkpack.bundler.quantize.report import TensorError, squares_of
from sharkpack.bundler.sources.tensors import SourceTensor, TensorMadeByRows
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quantize import quantize, quantizer

_CHUNK_ELEMENTS = 1 << 18
_workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="quantize")
"""numpy lets other threads run while it works on a chunk. None is started before there is one."""


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """`tensor` in another type: a TensorDescription and no SourceTensor, so that nothing can be packed of it.

    Vectors and tables, whose types nothing weighs, read as they will be; matrices as they would be unweighed.
    """

    tensor: SourceTensor = field(repr=False)
    type_name: str

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape[:-1]) * quantizer(self.type_name).row_bytes(self.shape[-1])

    def read(self) -> Bytes:
        """uint8 [nbytes]"""
        rows = (math.prod(self.shape[:-1]), self.shape[-1])
        values = dequantize(self.tensor.type_name, self.tensor.read(), rows)
        return quantize(self.type_name, values).reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedTensor(TensorMadeByRows):
    """`tensor` in another type.

    importance: float32 [experts * columns], of a tensor [experts, rows, columns] or [rows, columns]; None weighs
    nothing. error: learns what is lost, each time that rows are read.
    """

    tensor: SourceTensor = field(repr=False)
    type_name: str
    importance: Floats | None = field(repr=False)
    error: TensorError = field(repr=False)

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        return PlannedTensor(self.tensor, self.type_name).nbytes

    def release(self) -> None:
        self.tensor.release()

    def rows(self, index: slice | RowOrder) -> Bytes:
        """Only a few rows are float32 at a time."""
        columns, count = self.shape[-1], math.prod(self.shape[:-1])
        numbers = np.arange(count)[index]
        made = np.empty((len(numbers), quantizer(self.type_name).row_bytes(columns)), np.uint8)
        weighed = self.importance is not None and quantizer(self.type_name).weigh is not None
        means = self.importance.reshape(-1, columns) if self.importance is not None and weighed else None
        self.error.weighed = means is not None
        each = count // (1 if means is None else len(means))

        def make(chunk: slice) -> tuple[float, float]:
            values = float_rows(self.tensor, numbers[chunk])
            weights = None if means is None else means[numbers[chunk.start] // each]
            try:
                made[chunk] = quantize(self.type_name, values, weights)
            except SharkpackError as problem:
                raise SharkpackError(f"tensor '{self.name}': {problem}") from problem
            return squares_of(values, dequantize(self.type_name, made[chunk].reshape(-1), values.shape))

        for squares in _workers.map(make, _chunks(numbers // each, max(_CHUNK_ELEMENTS // columns, 1))):
            self.error.add(squares)
        return made


def _chunks(experts: RowOrder, step: int) -> list[slice]:
    """Ranges of at most `step` rows of one expert each."""
    borders = [0, *(np.flatnonzero(np.diff(experts)) + 1).tolist(), len(experts)]
    return [
        slice(start, min(start + step, end)) for first, end in pairwise(borders) for start in range(first, end, step)
    ]
