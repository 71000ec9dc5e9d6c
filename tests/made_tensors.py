"""Source tensors that no file has: their bytes are given."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.sources.tensors import TensorMadeByRows
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant.block import Bytes


@dataclass(frozen=True, slots=True)
class MadeTensor(TensorMadeByRows):
    """A tensor of that name and type whose bytes are those of `values`, and its shape theirs."""

    name: str
    type_name: str
    values: NDArray[Any] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes

    def rows(self, index: slice | RowOrder) -> Bytes:
        return np.ascontiguousarray(self.values).view(np.uint8).reshape(math.prod(self.shape[:-1]), -1)[index]

    def release(self) -> None:
        """It stays."""
