"""Qwen1.5-MoE and Qwen2-MoE: Qwen2's attention, and a mixture of experts beside one expert that all rows share."""

import torch
from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.expert_block import EXPERT_KEYS, ExpertBlock, Experts
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Linear, RMSNorm, gated
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

SHARED_WIDTH = "expert_shared_feed_forward_length"


class Layer(ExpertBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        experts: Experts,
        shared: int,
    ) -> None:
        super().__init__(table, index, shape, options, cache, experts)
        name, dim = f"blk.{index}", shape.dim
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, shape.epsilon)
        # Named as the module's weights are: one row, how much of the shared expert a row takes.
        self.ffn_gate_inp_shexp = Direction(table, f"{name}.ffn_gate_inp_shexp", dim)
        self.ffn_gate_shexp = Linear(table, f"{name}.ffn_gate_shexp", shared, dim)
        self.ffn_up_shexp = Linear(table, f"{name}.ffn_up_shexp", shared, dim)
        self.ffn_down_shexp = Linear(table, f"{name}.ffn_down_shexp", dim, shared)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        h = self.ffn_norm(x)
        share = torch.sigmoid(self.ffn_gate_inp_shexp(h))
        shared = self.ffn_down_shexp(gated(self.ffn_gate_shexp, self.ffn_up_shexp, h, "silu"))
        return self.mixture(h, residual=x) + share * shared, cache


class Direction(torch.nn.Module):
    """A vector that rows are multiplied with."""

    def __init__(self, table: WeightTable, name: str, size: int) -> None:
        super().__init__()
        self.weight = torch.nn.Buffer(table.vector(f"{name}.weight", size))

    def forward(self, x: Tensor) -> Tensor:
        """[rows, size] -> [rows, 1]"""
        return (x * self.weight).sum(-1, keepdim=True)


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, SHAPE_KEYS | SCALING_KEYS | EXPERT_KEYS | {SHARED_WIDTH})
    shape, table = Shape.of(source), WeightTable(source)
    used = max(source.integer("expert_used_count"), 1)
    experts = Experts.of(source, feed_forward=shape.feed_forward // used, normalise=False)
    shared = source.integer(SHARED_WIDTH, shape.feed_forward)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, experts, shared),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim)},
    )


QWEN2MOE = Recipe(name="qwen2moe", build=build)
