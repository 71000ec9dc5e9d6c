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
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Linear, RMSNorm, Rows, finer, project
from sharkpack.templates.layers.recipe import WeightTable, is_step
from sharkpack.templates.layers.rope import row_order
from sharkpack.templates.layers.shape import Shape


@dataclass(slots=True, kw_only=True)
class Batch:
    """Where the rows of one call stand: what attention needs besides q, k and v.

    parts: of a decode step, what all layers use in turn for contexts in parts (kernels/attention_parts.py), as the
    layer before left it. None in prefill.
    """

    page_ids: Tensor
    start_positions: Tensor
    seq_lens: Tensor
    parts: Tensor | None

    @classmethod
    def of(cls, tokens: Tensor, page_ids: Tensor, start_positions: Tensor, seq_lens: Tensor, shape: Shape) -> "Batch":
        """Of tokens [N, S]."""
        room = room_for_parts(shape.heads, shape.head_dim)
        parts = torch.zeros(tokens.shape[0], room) if is_step(tokens) else None
        return cls(page_ids=page_ids, start_positions=start_positions, seq_lens=seq_lens, parts=parts)


Angles = Mapping[str, Tensor]
"""Name of a rope -> [rows, rotated dimensions]: cosines, then sines, of each row's position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionConfig:
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
        attending: AttentionConfig | None = None,
    ) -> None:
        super().__init__()
        how = AttentionConfig() if attending is None else attending
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
        through_cache = self._tokens if batch.parts is None else self._step
        attended, cache = through_cache(q, k, v, angles[self.attending.rope], batch, cache)
        return self.attn_output(attended, residual), cache

    # Unlike other rows these two cannot wait to be asked: the cache goes through the kernel that makes them.

    def _tokens(
        self, q: Tensor, k: Tensor, v: Tensor, angles: Tensor, batch: Batch, cache: Tensor
    ) -> tuple[Rows, Tensor]:
        """Rotate q and k, store k and v, attend. -> ([rows, heads * head_dim], cache)"""
        where, sizes, heads = (batch.page_ids, batch.start_positions, batch.seq_lens), self._sizes, self.shape.heads
        if self.attn_q_norm is not None and self.attn_k_norm is not None:
            q, k = self.attn_q_norm.each(q), self.attn_k_norm.each(k)
        cache, q = ops.rope_and_store(q, k, v, angles, *where, cache, self.index, heads, *sizes)
        how = (self.index, heads, self._scale, self.attending.window, *sizes, self.attending.softcap)
        if self.attn_output.is_int8:
            cache, *attended = ops.attention_int8(q, *where, cache, *how)
            return Rows.quantized_already(*attended), cache
        cache, y = ops.attention(q, *where, cache, *how)
        return Rows.of(y), cache

    def _step(
        self, q: Tensor, k: Tensor, v: Tensor, angles: Tensor, batch: Batch, cache: Tensor
    ) -> tuple[Rows, Tensor]:
        """As `_tokens`, of one token of each sequence and in one kernel, but for norms over all of a row."""
        norms: list[Tensor | None] = [None, None]
        if self.attn_q_norm is not None and self.attn_k_norm is not None:
            if self.attending.norms == "head":
                norms = [self.attn_q_norm.weight, self.attn_k_norm.weight]
            else:
                q, k = self.attn_q_norm.each(q), self.attn_k_norm.each(k)
        where = (batch.page_ids, batch.start_positions, batch.seq_lens)
        how = (self.index, self.shape.heads, self._scale, self.attending.window, *self._sizes, self.attending.softcap)
        given = (q, k, v, angles, *norms, *where, batch.parts, cache, *how, self.shape.epsilon)
        if self.attn_output.is_int8:
            batch.parts, cache, *attended = ops.attention_step_int8(*given)
            return Rows.quantized_already(*attended), cache
        batch.parts, cache, y = ops.attention_step(*given)
        return Rows.of(y), cache

    @property
    def _scale(self) -> float:
        return self.shape.head_dim**-0.5 if self.attending.scale is None else self.attending.scale

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        layout = self.cache_layout
        return layout.page_size, layout.layers, layout.kv_heads, layout.key_head_dim, layout.value_head_dim


def _row_order(how: AttentionConfig, shape: Shape, heads: int) -> NDArray[np.int64] | None:
    return row_order(heads, shape.head_dim, shape.rope_dim, neighbours=how.pairs_neighbours)
