"""Leaf modules that recipes share: linear, norm, embedding, and activations that are quantised only if someone asks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates import ops
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.recipe import WeightTable, require_multiple


class Rows:
    """Activations [rows, k] as each consumer wants them: float32, or int8 codes and scales; each made once, on demand."""

    def __init__(self, float32: Callable[[], Tensor], int8: Callable[[], tuple[Tensor, Tensor]]) -> None:
        self._float32, self._int8 = float32, int8
        self._made: dict[str, tuple[Tensor, ...]] = {}

    @classmethod
    def of(cls, x: Tensor) -> "Rows":
        return cls(lambda: x, lambda: ops.quantize(x))

    def float32(self) -> Tensor:
        if "float32" not in self._made:
            self._made["float32"] = (self._float32(),)
        return self._made["float32"][0]

    def int8(self) -> tuple[Tensor, Tensor]:
        if "int8" not in self._made:
            self._made["int8"] = self._int8()
        codes, scales = self._made["int8"]
        return codes, scales


class Linear(torch.nn.Module):
    """A packed [n, k] weight with an optional bias; int8 activations unless told float32, or the weight is float."""

    def __init__(
        self,
        table: WeightTable,
        name: str,
        n: int,
        k: int,
        activations: Literal["int8", "float32"],
        *,
        row_order: NDArray[np.int64] | None = None,
        optional_bias: bool = False,
    ) -> None:
        super().__init__()
        require_multiple(f"the width of {name}", k, 16)
        self.n, self.k = n, k
        weight, self.layout = table.packed(f"{name}.weight", n, k, row_order)
        self.weight = torch.nn.Buffer(weight)
        self.quantized = activations == "int8" and LAYOUTS[self.layout].kind != "float"
        has_bias = optional_bias and table.has(f"{name}.bias")
        self.register_buffer("bias", table.vector(f"{name}.bias", n, row_order) if has_bias else None)

    def forward(self, x: Rows, residual: Tensor | None = None) -> Tensor:
        """[rows, k] -> [rows, n] (+ residual [rows, n])"""
        if self.quantized:
            codes, scales = x.int8()
            return ops.matmul_int8(codes, scales, self.weight, self.bias, residual, self.layout, self.n, self.k)
        return ops.matmul_float32(x.float32(), self.weight, self.bias, residual, self.layout, self.n, self.k)


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

    def as_head(self, x: Rows, activations: Literal["int8", "float32"]) -> Tensor:
        """[rows, k] -> logits [rows, n]"""
        if activations == "int8" and LAYOUTS[self.layout].kind != "float":
            codes, scales = x.int8()
            return ops.matmul_int8(codes, scales, self.weight, None, None, self.layout, self.n, self.k)
        return ops.matmul_float32(x.float32(), self.weight, None, None, self.layout, self.n, self.k)


class RMSNorm(torch.nn.Module):
    """Root mean square normalisation over rows of `size`."""

    def __init__(self, table: WeightTable, name: str, size: int, epsilon: float) -> None:
        super().__init__()
        require_multiple(f"the size of {name}", size, 16)
        self.epsilon = epsilon
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size))

    def forward(self, x: Tensor) -> Rows:
        return Rows(
            lambda: ops.rms_norm(x, self.weight, None, self.epsilon),
            lambda: ops.rms_norm_int8(x, self.weight, self.epsilon),
        )

    def add_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """residual + norm(x)"""
        return ops.rms_norm(x, self.weight, residual, self.epsilon)

    def each_head(self, x: Tensor) -> Tensor:
        """Normalise every head of [rows, heads * size] by itself."""
        rows = x.reshape(-1, self.weight.shape[0])
        return ops.rms_norm(rows, self.weight, None, self.epsilon).reshape(x.shape)


def gated(gate: Tensor, up: Tensor, activation: Literal["silu", "gelu"]) -> Rows:
    """activation(gate) * up"""
    return Rows(lambda: ops.gated(gate, up, activation), lambda: ops.gated_int8(gate, up, activation))


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Where the rows of one call stand: what attention needs besides q, k and v."""

    page_ids: Tensor
    start_positions: Tensor
    seq_lens: Tensor


def paged_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    angles: Tensor,
    batch: Batch,
    cache: Tensor,
    layout: CacheLayout,
    *,
    layer: int,
    heads: int,
    scale: float,
    window: int = 0,
) -> tuple[Tensor, Tensor]:
    """Rotate q and k, store k and v, attend. -> ([rows, heads * value_head_dim], cache)"""
    shape = (layout.page_size, layout.layers, layout.kv_heads, layout.key_head_dim, layout.value_head_dim)
    where = (batch.page_ids, batch.start_positions, batch.seq_lens)
    cache, q = ops.rope_and_store(q, k, v, angles, *where, cache, layer, heads, *shape)
    cache, attended = ops.attention(q, *where, cache, layer, heads, scale, window, *shape)
    return attended, cache


def positions_of(tokens: Tensor, start_positions: Tensor, context_length: int) -> Tensor:
    """Position of each token [N, S], flattened; padding past the context is clamped, its result is never read."""
    offsets = torch.arange(tokens.shape[1], dtype=torch.int64)
    return (start_positions[:, None] + offsets[None, :]).clamp(max=context_length - 1).reshape(-1)


def last_rows(x: Tensor, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor) -> Tensor:
    """x [N * S, k] -> the row [N, k] of each sequence's last valid token."""
    count, each = tokens.shape
    at = torch.arange(count, dtype=torch.int64) * each + (seq_lens - 1 - start_positions)
    return torch.index_select(x, 0, at)
