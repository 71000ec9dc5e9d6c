"""The attending part of a layer: projections, norms of q and k, the paged cache, the output projection.

A recipe's layer is an `AttentionBlock` with norms and a feed-forward part of its own; no architecture is known here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.templates import ops
from sharkpack.templates.kernels.attention_parts import room_for_parts
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers import Linear, RMSNorm, Rows, finer, project
from sharkpack.templates.recipe import ModelOptions, WeightTable
from sharkpack.templates.rope import row_order
from sharkpack.templates.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Where the rows of one call stand: what attention needs besides q, k and v."""

    page_ids: Tensor
    start_positions: Tensor
    seq_lens: Tensor
    prefill: bool

    @classmethod
    def of(cls, tokens: Tensor, page_ids: Tensor, start_positions: Tensor, seq_lens: Tensor) -> "Batch":
        """tokens [N, S]: S is 1 when decoding, and a symbol, not a number, when prefill is traced."""
        single = isinstance(tokens.shape[1], int) and tokens.shape[1] == 1
        return cls(page_ids=page_ids, start_positions=start_positions, seq_lens=seq_lens, prefill=not single)


Angles = Mapping[str, Tensor]
"""Name of a rope -> [rows, rotated dimensions]: cosines, then sines, of each row's position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attending:
    """How a layer attends.

    scale: of scores; None for 1 / sqrt(head_dim). window: positions seen, its own among them; 0 for all. softcap:
    other than 0, scores become softcap * tanh(score / softcap). rope: the name of its angles. norms: RMSNorms of q and
    k, over each head or over all of a row. pairs_neighbours: the source rotates rows (2i, 2i + 1) of a head.
    """

    scale: float | None = None
    window: int = 0
    softcap: float = 0.0
    rope: str = "all"
    norms: Literal["none", "head", "row"] = "none"
    pairs_neighbours: bool = False


class AttentionBlock(torch.nn.Module):
    """Weights `blk.<index>.attn_*`; a projection has a bias where the source has one."""

    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: Attending | None = None,
    ) -> None:
        super().__init__()
        how = Attending() if attending is None else attending
        self.index, self.shape, self.cache_layout, self.attending = index, shape, cache, how
        name, dim, precision = f"blk.{index}.attn", shape.dim, options.activations
        orders = [_row_order(how, shape, heads) for heads in (shape.heads, shape.kv_heads)]
        self.attn_q = Linear(table, f"{name}_q", shape.q_rows, dim, precision, row_order=orders[0], optional_bias=True)
        self.attn_k = Linear(table, f"{name}_k", shape.kv_rows, dim, precision, row_order=orders[1], optional_bias=True)
        self.attn_v = Linear(table, f"{name}_v", shape.kv_rows, dim, finer(precision), optional_bias=True)
        self.attn_q_norm: RMSNorm | None = None
        self.attn_k_norm: RMSNorm | None = None
        if how.norms != "none":
            self.attn_q_norm = self._norm(table, f"{name}_q_norm", shape.heads)
            self.attn_k_norm = self._norm(table, f"{name}_k_norm", shape.kv_heads)
        self.attn_output = Linear(table, f"{name}_output", dim, shape.q_rows, precision, optional_bias=True)

    def _norm(self, table: WeightTable, name: str, heads: int) -> RMSNorm:
        """Of q or k, before they are rotated: its values are in the order of the rows that it scales."""
        shape, together = self.shape, 1 if self.attending.norms == "head" else heads
        order = _row_order(self.attending, shape, together)
        return RMSNorm(table, name, together * shape.head_dim, shape.epsilon, row_order=order)

    def attend(
        self, h: Rows, angles: Angles, batch: Batch, cache: Tensor, residual: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """h [rows, dim] -> [rows, dim] (+ residual), and the cache with this layer's keys and values of h."""
        q, k, v = project(h, self.attn_q, self.attn_k, self.attn_v)
        if self.attn_q_norm is not None and self.attn_k_norm is not None:
            q, k = self.attn_q_norm.each(q), self.attn_k_norm.each(k)
        attended, cache = self._through_cache(q, k, v, angles[self.attending.rope], batch, cache)
        return self.attn_output(attended, residual), cache

    def _through_cache(
        self, q: Tensor, k: Tensor, v: Tensor, angles: Tensor, batch: Batch, cache: Tensor
    ) -> tuple[Rows, Tensor]:
        """Rotate q and k, store k and v, attend. -> ([rows, heads * head_dim], cache)

        Unlike other rows these cannot wait to be asked: the cache goes through the kernel that makes them.
        """
        layout, how, heads = self.cache_layout, self.attending, self.shape.heads
        scale = self.shape.head_dim**-0.5 if how.scale is None else how.scale
        sizes = (layout.page_size, layout.layers, layout.kv_heads, layout.key_head_dim, layout.value_head_dim)
        where = (batch.page_ids, batch.start_positions, batch.seq_lens)
        room = 0 if batch.prefill else room_for_parts(layout, heads)
        cache, q = ops.rope_and_store(q, k, v, angles, *where, cache, self.index, heads, *sizes, room)
        how_far = (how.window, batch.prefill, *sizes, how.softcap)
        if self.attn_output.is_int8:
            cache, *attended = ops.attention_int8(q, *where, cache, self.index, heads, scale, *how_far)
            return Rows.quantized_already(*attended), cache
        cache, y = ops.attention(q, *where, cache, self.index, heads, scale, *how_far)
        return Rows.of(y), cache


def _row_order(how: Attending, shape: Shape, heads: int) -> NDArray[np.int64] | None:
    return row_order(heads, shape.head_dim, shape.rope_dim, neighbours=how.pairs_neighbours)
