"""An attention block and a mixture of experts: a layer that reads, for each row, the weights of a few experts only."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates import ops
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import AttentionBlock, AttentionConfig
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Linear
from sharkpack.templates.layers.recipe import WeightTable
from sharkpack.templates.layers.shape import Shape
from sharkpack.templates.layers.source import Source

EXPERT_KEYS = frozenset({"expert_count", "expert_used_count", "expert_feed_forward_length", "expert_weights_norm"})
"""The hyperparameters that `Experts.of` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """The experts of a layer: their number, how many a row takes, their inner width, and whether the weights of those
    that a row takes sum to 1 (or are what the softmax over all experts gave them)."""

    count: int
    used: int
    feed_forward: int
    normalise: bool

    @classmethod
    def of(cls, source: Source, *, feed_forward: int, normalise: bool) -> "Experts":
        """feed_forward, normalise: of the architecture where the source says nothing of them."""
        count, used = source.integer("expert_count"), source.integer("expert_used_count")
        if not 1 <= used <= count:
            raise SharkpackError(f"expert_used_count is {used}; it must be from 1 to expert_count, {count}")
        return cls(
            count=count,
            used=used,
            feed_forward=source.integer("expert_feed_forward_length", feed_forward),
            normalise=source.boolean("expert_weights_norm", normalise),
        )


class ExpertLinear(torch.nn.Module):
    """The packed weights [experts, n, k] of all experts, of which each row is multiplied by those that it chose."""

    def __init__(self, table: WeightTable, name: str, experts: int, n: int, k: int) -> None:
        super().__init__()
        self.experts, self.n, self.k = experts, n, k
        weight, self.layout = table.experts(f"{name}.weight", experts, n, k)
        self.weight = torch.nn.Buffer(weight)

    def forward(self, x: Tensor, chosen: Tensor) -> Tensor:
        """x [rows, k] or [rows, top_k * k], chosen [rows, top_k] -> [rows, top_k * n]"""
        return ops.expert_matmul(x, chosen, self.weight, self.layout, self.experts, self.n, self.k)


class ExpertBlock(AttentionBlock):
    """Weights `blk.<index>.attn_*`, the router `ffn_gate_inp`, and `ffn_gate_exps`, `ffn_up_exps`, `ffn_down_exps`."""

    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        experts: Experts,
        attending: AttentionConfig | None = None,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending)
        name, dim, wide = f"blk.{index}.ffn", shape.dim, experts.feed_forward
        self.experts = experts
        # Which experts a row takes is decided in float32: a code more or less would choose others.
        self.ffn_gate_inp = Linear(table, f"{name}_gate_inp", experts.count, dim, "exact")
        self.ffn_gate_exps = ExpertLinear(table, f"{name}_gate_exps", experts.count, wide, dim)
        self.ffn_up_exps = ExpertLinear(table, f"{name}_up_exps", experts.count, wide, dim)
        self.ffn_down_exps = ExpertLinear(table, f"{name}_down_exps", experts.count, dim, wide)

    def mixture(self, h: Tensor, residual: Tensor) -> Tensor:
        """h [rows, dim] -> residual + the weighted sum of what its experts make of it."""
        how = self.experts
        chosen, weights = ops.route(self.ffn_gate_inp(h), how.used, how.normalise)
        gate, up = self.ffn_gate_exps(h, chosen), self.ffn_up_exps(h, chosen)
        made = ops.gated(gate, up, "silu")
        each = self.ffn_down_exps(made, chosen).reshape(-1, how.used, self.shape.dim)
        y: Tensor = residual + (each * weights[:, :, None]).sum(1)
        return y
