"""Qwen3-MoE: Qwen3's attention and a mixture of experts in each layer."""

from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.expert_block import EXPERT_KEYS, ExpertBlock, Experts
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source


class Layer(ExpertBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        experts: Experts,
    ) -> None:
        super().__init__(table, index, shape, options, cache, experts, AttentionConfig(norms="head"))
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.mixture(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, SHAPE_KEYS | SCALING_KEYS | EXPERT_KEYS)
    shape, table = Shape.of(source), WeightTable(source)
    used = max(source.integer("expert_used_count"), 1)
    experts = Experts.of(source, feed_forward=shape.feed_forward // used, normalise=True)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, experts),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim)},
    )


QWEN3MOE = Recipe(name="qwen3moe", build=build)
