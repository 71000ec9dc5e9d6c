"""The attention part of a layer: projections, norms of q and k, the paged cache, the output projection.

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
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Linear, RMSNorm
from sharkpack.templates.layers.recipe import WeightTable, is_step
from sharkpack.templates.layers.rope import row_order
from sharkpack.templates.layers.shape import Shape


@dataclass(slots=True, kw_only=True)
class Batch:
    """The positions of the rows of one call: the inputs of attention besides q, k and v.

    step: whether each row is a sequence of its own.
    """

    page_ids: Tensor
    start_positions: Tensor
    seq_lens: Tensor
    step: bool

    @classmethod
    def of(cls, tokens: Tensor, page_ids: Tensor, start_positions: Tensor, seq_lens: Tensor, shape: Shape) -> "Batch":
        """Returns the batch of tokens [N, S]."""
        step = is_step(tokens)
        return cls(page_ids=page_ids, start_positions=start_positions, seq_lens=seq_lens, step=step)


Angles = Mapping[str, Tensor]
"""Name of a rope -> [rows, rotated dimensions]: cosines, then sines, of each row's position."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionConfig:
    """The attention of a layer.

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
        name, dim = f"blk.{index}.attn", shape.dim
        orders = [_row_order(how, shape, heads) for heads in (shape.heads, shape.kv_heads)]
        self.attn_q = Linear(table, f"{name}_q", shape.q_rows, dim, row_order=orders[0], optional_bias=True)
        self.attn_k = Linear(table, f"{name}_k", shape.kv_rows, dim, row_order=orders[1], optional_bias=True)
        self.attn_v = Linear(table, f"{name}_v", shape.kv_rows, dim, "fine", optional_bias=True)
        self.attn_q_norm: RMSNorm | None = None
        self.attn_k_norm: RMSNorm | None = None
        if how.norms != "none":
            self.attn_q_norm = self._norm(table, f"{name}_q_norm", shape.heads)
            self.attn_k_norm = self._norm(table, f"{name}_k_norm", shape.kv_heads)
        self.attn_output = Linear(table, f"{name}_output", dim, shape.q_rows, optional_bias=True)

    def _norm(self, table: WeightTable, name: str, heads: int) -> RMSNorm:
        """The norm of q or k, before they are rotated: its values are in the order of the rows that it scales."""
        shape, together = self.shape, 1 if self.attending.norms == "head" else heads
        order = _row_order(self.attending, shape, together)
        return RMSNorm(table, name, together * shape.head_dim, shape.epsilon, row_order=order)

    def attend(
        self, h: Tensor, angles: Angles, batch: Batch, cache: Tensor, residual: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """h [rows, dim] -> [rows, dim] (+ residual), and the cache with this layer's keys and values of h."""
        q, k, v = self.attn_q(h), self.attn_k(h), self.attn_v(h)
        norms: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.attn_q_norm is not None and self.attn_k_norm is not None:
            if self.attending.norms == "head":
                norms = self.attn_q_norm.weight, self.attn_k_norm.weight
            else:
                q, k = self.attn_q_norm(q), self.attn_k_norm(k)
        cache, y = ops.attend(
            q,
            k,
            v,
            angles[self.attending.rope],
            *norms,
            batch.page_ids,
            batch.start_positions,
            batch.seq_lens,
            cache,
            self.index,
            self.shape.heads,
            self._scale,
            self.attending.window,
            *self._sizes,
            self.attending.softcap,
            self.shape.epsilon,
            batch.step,
        )
        return self.attn_output(y, residual), cache

    @property
    def _scale(self) -> float:
        return self.shape.head_dim**-0.5 if self.attending.scale is None else self.attending.scale

    @property
    def _sizes(self) -> tuple[int, int, int, int, int]:
        layout = self.cache_layout
        return layout.page_size, layout.layers, layout.kv_heads, layout.key_head_dim, layout.value_head_dim


def _row_order(how: AttentionConfig, shape: Shape, heads: int) -> NDArray[np.int64] | None:
    return row_order(heads, shape.head_dim, shape.rope_dim, neighbours=how.pairs_neighbours)
