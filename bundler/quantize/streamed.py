"""A recipe's matmuls and its embedding with their weights left in the source: read in slabs as they are called.

So a model runs in the memory of its activations. In float32, and slow: for a few hundred tokens, once.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from sharkpack.bundler.quantize.float_rows import float_rows
from sharkpack.bundler.quantize.inputs import Inputs
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.packing import RowOrder
from sharkpack.templates.layers.expert_block import ExpertLinear
from sharkpack.templates.layers.modules import Embedding, Linear
from sharkpack.templates.layers.weights import PackedWeight

SLAB_ELEMENTS = 1 << 22
"""16 MiB of float32."""

Advance = Callable[[int], None]
"""Told how many rows of a tensor were multiplied with."""


class StreamedWeight:
    """A matrix as a recipe wants it: rows of a source's tensor, in the recipe's order."""

    def __init__(self, weight: PackedWeight, tensor: SourceTensor, advance: Advance) -> None:
        rows = np.arange(weight.shape[0]) if weight.row_order is None else weight.row_order
        self.tensor = tensor
        self._rows: RowOrder = rows + weight.first_row
        self._advance = advance

    def rows(self, index: slice | RowOrder) -> Tensor:
        """float32 [rows, k]"""
        return torch.from_numpy(np.ascontiguousarray(float_rows(self.tensor, self._rows[index])))

    def times(self, x: Tensor, first: int, last: int) -> Tensor:
        """x [rows, k] -> [rows, last - first]: by those rows of the matrix, transposed."""
        return torch.cat([x @ slab.T for slab in self._slabs(first, last)], dim=1)

    def _slabs(self, first: int, last: int) -> Iterator[Tensor]:
        step = max(SLAB_ELEMENTS // self.tensor.shape[-1], 1)
        for start in range(first, last, step):
            end = min(start + step, last)
            yield self.rows(slice(start, end))
            self._advance(end - start)


class StreamedLinear(torch.nn.Module):
    """In the place of a `Linear`; `inputs` learns what it is given."""

    def __init__(self, linear: Linear, weight: StreamedWeight, inputs: Inputs) -> None:
        super().__init__()
        self.n, self.k, self.layout = linear.n, linear.k, linear.layout
        self.bias: Tensor | None
        self.register_buffer("bias", linear.bias)
        self._weight, self._inputs = weight, inputs

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        self._inputs.add(self._weight.tensor.name, x)
        y = self._weight.times(x, 0, self.n)
        y = y if self.bias is None else y + self.bias
        return y if residual is None else y + residual


class StreamedExperts(torch.nn.Module):
    """In the place of an `ExpertLinear`; reads those experts that a row chose."""

    def __init__(self, linear: ExpertLinear, weight: StreamedWeight, inputs: Inputs) -> None:
        super().__init__()
        self.experts, self.n, self.k, self.layout = linear.experts, linear.n, linear.k, linear.layout
        self._weight, self._inputs = weight, inputs

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        rows, choices = chosen.shape
        given = x.reshape(rows, -1, self.k).expand(rows, choices, self.k)
        y = given.new_empty((rows, choices, self.n))
        for expert in sorted(set(chosen.flatten().tolist())):
            at = chosen == expert
            self._inputs.add(self._weight.tensor.name, given[at], expert=expert, experts=self.experts)
            y[at] = self._weight.times(given[at], expert * self.n, (expert + 1) * self.n)
        return y.reshape(rows, -1)


class StreamedEmbedding(torch.nn.Module):
    """In the place of an `Embedding` that is looked up."""

    def __init__(self, embedding: Embedding, weight: StreamedWeight) -> None:
        super().__init__()
        self.n, self.k = embedding.n, embedding.k
        self._weight = weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self._weight.rows(tokens.numpy())
