"""The weights that a recipe declares: what the source must have, and what becomes of it. Holds and moves no bytes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.packing import LAYOUTS, packed_nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedWeight:
    """A matrix that is repacked from the source tensor of that name, or from the rows first_row.. of tensor `part_of`.

    row_order: output row i is the source's row row_order[i]. A tensor [experts, n, k] is a matrix [experts * n, k].
    """

    name: str
    layout: str
    shape: tuple[int, int]
    row_order: NDArray[np.int64] | None = None
    part_of: str | None = None
    first_row: int = 0

    @property
    def tensor(self) -> str:
        """The name of the source's tensor."""
        return self.part_of or self.name

    @property
    def type_name(self) -> str:
        """The type of its stored numbers."""
        return self.layout

    @property
    def nbytes(self) -> int:
        return packed_nbytes(LAYOUTS[self.layout], self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorWeight:
    """A vector of the source (a norm's weight, a bias), stored as float32."""

    name: str
    size: int
    row_order: NDArray[np.int64] | None = None

    @property
    def tensor(self) -> str:
        """The name of the source's tensor."""
        return self.name

    @property
    def type_name(self) -> str:
        return "f32"

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size,)

    @property
    def nbytes(self) -> int:
        return 4 * self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWeight:
    """A float32 array that the recipe computes."""

    name: str
    values: NDArray[np.float32]

    @property
    def type_name(self) -> str:
        return "f32"

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def nbytes(self) -> int:
        return self.values.nbytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWeight:
    """A tensor that the program takes as the source has it. type_name: a plain element type, such as `f32`."""

    name: str
    tensor: str
    type_name: str
    shape: tuple[int, ...]
    nbytes: int


Weight = StoredWeight | PackedWeight | VectorWeight | TableWeight
