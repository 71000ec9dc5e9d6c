"""The inputs of matrices, as far as their importance goes: how large each column's are."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.quant.block import Floats

Sums = NDArray[np.float64]


class Inputs:
    """Gathers the mean square of each input of each matrix, or of each expert's matrix of a stack."""

    def __init__(self) -> None:
        self._sums: dict[str, Sums] = {}
        self._counts: dict[str, Sums] = {}

    def add(self, name: str, x: Tensor, *, expert: int = 0, experts: int = 1) -> None:
        """Count the rows of x [rows, columns], inputs of the matrix `name`."""
        columns = x.shape[1]
        sums = self._sums.setdefault(name, np.zeros((experts, columns)))
        counts = self._counts.setdefault(name, np.zeros((experts, 1)))
        sums[expert] += np.square(x.numpy(), dtype=np.float64).sum(axis=0)
        counts[expert] += len(x)

    @np.errstate(over="ignore", invalid="ignore")
    def means(self) -> Mapping[str, Floats]:
        """Returns, by name, float32 [experts * columns]. An expert that saw nothing has the mean of those that did;
        where inputs were not numbers, or too large, neither are these."""
        return {name: _means(sums, self._counts[name]).astype(np.float32) for name, sums in self._sums.items()}


def _means(sums: Sums, counts: Sums) -> Sums:
    overall = sums.sum(axis=0) / counts.sum()
    means: Sums = np.divide(sums, counts, out=np.broadcast_to(overall, sums.shape).copy(), where=counts > 0)
    return means.reshape(-1)
