"""Leaf modules that recipes share: linear, norm, embedding, gated units."""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.templates import ops
from sharkpack.templates.layers.recipe import WeightTable, require_multiple

Rounding = Literal["plain", "fine", "exact"]
"""How much a matmul's activations may be rounded: as a target likes, to more than 8 bits, not at all."""

Activation = Literal["silu", "gelu", "gelu_f16"]
"""Of a gate; "gelu" is its tanh form, "gelu_f16" the same from float16 to float16, as ggml's table has it."""


class Linear(torch.nn.Module):
    """A packed [n, k] weight with an optional bias."""

    def __init__(
        self,
        table: WeightTable,
        name: str,
        n: int,
        k: int,
        rounding: Rounding = "plain",
        *,
        row_order: NDArray[np.int64] | None = None,
        optional_bias: bool = False,
    ) -> None:
        super().__init__()
        require_multiple(f"the width of {name}", k, 16)
        self.n, self.k, self.rounding = n, k, rounding
        weight, self.layout = table.packed(f"{name}.weight", n, k, row_order)
        self.weight = torch.nn.Buffer(weight)
        self.bias: Tensor | None
        has_bias = optional_bias and table.has(f"{name}.bias")
        self.register_buffer("bias", table.vector(f"{name}.bias", n, row_order) if has_bias else None)

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """[rows, k] -> [rows, n] (+ residual [rows, n])"""
        return ops.matmul(x, self.weight, self.bias, residual, self.layout, self.n, self.k, self.rounding)


class Embedding(torch.nn.Module):
    """A packed [n, k] table that is looked up, and that may serve as the output head too."""

    def __init__(self, table: WeightTable, name: str, n: int, k: int) -> None:
        super().__init__()
        self.n, self.k = n, k
        weight, self.layout = table.packed(f"{name}.weight", n, k)
        self.weight = torch.nn.Buffer(weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [rows] i64 -> [rows, k]"""
        return ops.embedding(tokens, self.weight, self.layout, self.n, self.k)

    def as_head(self, x: Tensor) -> Tensor:
        """[rows, k] -> logits [rows, n]"""
        return ops.matmul(x, self.weight, None, None, self.layout, self.n, self.k, "fine")


class RMSNorm(torch.nn.Module):
    """Root mean square normalisation over rows of `size`."""

    def __init__(
        self,
        table: WeightTable,
        name: str,
        size: int,
        epsilon: float,
        *,
        row_order: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        require_multiple(f"the size of {name}", size, 16)
        self.epsilon = epsilon
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size, row_order))

    def forward(self, x: Tensor) -> Tensor:
        return ops.rms_norm(x, self.weight, None, self.epsilon)

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + norm(x)"""
        return ops.rms_norm(x, self.weight, residual, self.epsilon)


class LayerNorm(torch.nn.Module):
    """Mean and variance normalisation over rows of `size`, with a weight and a bias.

    What is left when the mean is gone is normalised as by its root mean square.
    """

    def __init__(self, table: WeightTable, name: str, size: int, epsilon: float) -> None:
        super().__init__()
        require_multiple(f"the size of {name}", size, 16)
        self.epsilon = epsilon
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size))
        self.bias = torch.nn.Buffer(table.vector(f"{name}.bias", size))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return ops.rms_norm(centred, self.weight, None, self.epsilon) + self.bias


def gated(gate: Linear, up: Linear, x: Tensor, activation: Activation) -> Tensor:
    """activation(gate(x)) * up(x)"""
    return ops.gated(gate(x), up(x), activation)
