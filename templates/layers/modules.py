"""Leaf modules that recipes share: linear, norm, embedding, and activations that are quantised only if someone asks."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates import ops
from sharkpack.templates.layers.recipe import WeightTable, require_multiple

Precision = Literal["float32", "int8", "int16"]
"""Of activations in a product: as they are, or quantised to 8 bits, or to 8 and a remainder of 8 more.

The remainder costs a second pass over codes that are in registers already. It goes where the error shows most for the
least work: the values of attention and the output head.
"""

Activation = Literal["silu", "gelu", "gelu_f16"]
"""Of a gate; "gelu" is its tanh form, "gelu_f16" the same from float16 to float16, as ggml's table has it."""


class Rows:
    """Activations [rows, k] as each consumer wants them: float32, or int8 codes and scales; each made once, on demand.

    quantize: makes codes and scales, or those, remainders and their sums, if a consumer wants int16.
    """

    def __init__(self, float32: Callable[[], Tensor], quantize: Callable[[], tuple[Tensor, ...]]) -> None:
        self._float32, self._quantize = float32, quantize
        self._made: dict[str, tuple[Tensor, ...]] = {}

    @classmethod
    def of(cls, x: Tensor, *, remainder: bool = False) -> "Rows":
        """`remainder` where a consumer wants int16."""
        quantize = ops.quantize_int16 if remainder else ops.quantize
        return cls(lambda: x, lambda: quantize(x))

    @classmethod
    def quantized_already(cls, codes: Tensor, scales: Tensor) -> "Rows":
        """Rows that exist as int8 only: whoever makes them so knows that no consumer wants more."""

        def refuse() -> Tensor:
            raise ValueError("these rows were made for int8 products only")

        return cls(refuse, lambda: (codes, scales))

    def float32(self) -> Tensor:
        if "float32" not in self._made:
            self._made["float32"] = (self._float32(),)
        (x,) = self._made["float32"]
        return x

    def quantized(self) -> tuple[Tensor, ...]:
        if "quantized" not in self._made:
            self._made["quantized"] = self._quantize()
        return self._made["quantized"]


def product(
    x: Rows,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    layout: str,
    n: int,
    k: int,
    precision: Precision,
) -> Tensor:
    """x [rows, k] times a packed [n, k] weight, transposed; a weight of floats takes float32 activations always."""
    y: Tensor
    if precision == "float32" or LAYOUTS[layout].kind == "float":
        y = ops.matmul_float32(x.float32(), weight, bias, residual, layout, n, k)
    else:
        codes, scales, *rest = x.quantized()
        remainders, sums = rest if precision == "int16" else (None, None)
        y = ops.matmul_int8(codes, scales, remainders, sums, weight, bias, residual, layout, n, k)
    return y


def finer(activations: Literal["int8", "float32"]) -> Precision:
    """The precision of a product that deserves remainders."""
    return "int16" if activations == "int8" else "float32"


class Linear(torch.nn.Module):
    """A packed [n, k] weight with an optional bias."""

    def __init__(
        self,
        table: WeightTable,
        name: str,
        n: int,
        k: int,
        precision: Precision,
        *,
        row_order: NDArray[np.int64] | None = None,
        optional_bias: bool = False,
    ) -> None:
        super().__init__()
        require_multiple(f"the width of {name}", k, 16)
        self.n, self.k, self.precision = n, k, precision
        weight, self.layout = table.packed(f"{name}.weight", n, k, row_order)
        self.weight = torch.nn.Buffer(weight)
        self.bias: Tensor | None
        has_bias = optional_bias and table.has(f"{name}.bias")
        self.register_buffer("bias", table.vector(f"{name}.bias", n, row_order) if has_bias else None)

    @property
    def is_int8(self) -> bool:
        """Whether it takes int8 activations and nothing finer."""
        return self.precision == "int8" and LAYOUTS[self.layout].kind != "float"

    def forward(self, x: Rows, residual: Tensor | None = None) -> Tensor:
        """[rows, k] -> [rows, n] (+ residual [rows, n])"""
        return product(x, self.weight, self.bias, residual, self.layout, self.n, self.k, self.precision)


def project(x: Rows, q: Linear, k: Linear, v: Linear) -> tuple[Tensor, Tensor, Tensor]:
    """x times the three weights; in one kernel, if all of them take quantised activations."""
    parts = (q, k, v)
    if any(part.precision == "float32" or LAYOUTS[part.layout].kind == "float" for part in parts):
        return q(x), k(x), v(x)
    fine = [part.precision == "int16" for part in parts]
    codes, scales, *rest = x.quantized()
    made: tuple[Tensor, Tensor, Tensor] = ops.qkv_int8(
        codes,
        scales,
        *(rest if any(fine) else (None, None)),
        *(part.weight for part in parts),
        *(part.bias for part in parts),
        *(part.layout for part in parts),
        *fine,
        q.n,
        k.n,
        q.k,
    )
    return made


class Embedding(torch.nn.Module):
    """A packed [n, k] table that is looked up, and that may serve as the output head too."""

    def __init__(self, table: WeightTable, name: str, n: int, k: int) -> None:
        super().__init__()
        self.n, self.k = n, k
        weight, self.layout = table.packed(f"{name}.weight", n, k)
        self.weight = torch.nn.Buffer(weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [rows] i64 -> [rows, k]"""
        x: Tensor = ops.embedding(tokens, self.weight, self.layout, self.n, self.k)
        return x

    def as_head(self, x: Rows, precision: Precision) -> Tensor:
        """[rows, k] -> logits [rows, n]"""
        return product(x, self.weight, None, None, self.layout, self.n, self.k, precision)


class RMSNorm(torch.nn.Module):
    """Root mean square normalisation over rows of `size`; `remainder` where a consumer wants int16 activations."""

    def __init__(
        self,
        table: WeightTable,
        name: str,
        size: int,
        epsilon: float,
        *,
        remainder: bool = False,
        row_order: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        require_multiple(f"the size of {name}", size, 16)
        self.epsilon, self.remainder = epsilon, remainder
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size, row_order))

    def forward(self, x: Tensor) -> Rows:
        quantize = ops.rms_norm_int16 if self.remainder else ops.rms_norm_int8
        return Rows(
            lambda: ops.rms_norm(x, self.weight, None, self.epsilon),
            lambda: quantize(x, self.weight, self.epsilon),
        )

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + norm(x)"""
        y: Tensor = ops.rms_norm(x, self.weight, residual, self.epsilon)
        return y

    def each(self, x: Tensor) -> Tensor:
        """Normalise each `size` values of [rows, count * size] by themselves."""
        y: Tensor = ops.rms_norm(x, self.weight, None, self.epsilon)
        return y


class LayerNorm(torch.nn.Module):
    """Mean and variance normalisation over rows of `size`, with a weight and a bias.

    What is left when the mean is gone is normalised as by its root mean square.
    """

    def __init__(self, table: WeightTable, name: str, size: int, epsilon: float, *, remainder: bool = False) -> None:
        super().__init__()
        require_multiple(f"the size of {name}", size, 16)
        self.epsilon, self.remainder = epsilon, remainder
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size))
        self.bias = torch.nn.Buffer(table.vector(f"{name}.bias", size))

    def forward(self, x: Tensor) -> Rows:
        centred = x - x.mean(-1, keepdim=True)
        return Rows.of(ops.rms_norm(centred, self.weight, None, self.epsilon) + self.bias, remainder=self.remainder)


def gated(gate: Linear, up: Linear, x: Rows, activation: Activation) -> Rows:
    """activation(gate(x)) * up(x), for two products of the same shape and no bias."""

    def float32() -> Tensor:
        y: Tensor = ops.gated(gate(x), up(x), activation)
        return y

    def quantized() -> tuple[Tensor, ...]:
        if not (gate.is_int8 and up.is_int8 and gate.n % 32 == 0):
            return tuple(ops.gated_int8(gate(x), up(x), activation))
        codes, scales = x.quantized()[:2]
        layouts = (gate.layout, up.layout)
        return tuple(ops.gated_matmul_int8(codes, scales, gate.weight, up.weight, activation, *layouts, gate.n, gate.k))

    return Rows(float32, quantized)
