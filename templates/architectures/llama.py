"""Llama and what shares its graph (SmolLM, Mistral's dense models): RMSNorm, rope, grouped heads, SwiGLU."""

from torch import Tensor

from sharkpack.templates.architectures import mixtral
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, divisors, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

WINDOW = "attention.sliding_window"
KNOWN_KEYS = SHAPE_KEYS | SCALING_KEYS | {WINDOW, "expert_count", "expert_used_count"}

FACTORS = "rope_freqs.weight"
"""Llama 3's frequency divisors."""


class Layer(DenseBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: AttentionConfig,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending)
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.feed_forward(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    if source.integer("expert_count", 0):
        return mixtral.build(source, options)
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source), WeightTable(source)
    attending = AttentionConfig(window=source.integer(WINDOW, 0), pairs_neighbours=source.ggml_row_order)
    factors = divisors(source, FACTORS, shape.rope_dim)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, attending),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim, factors)},
        ignored=frozenset({FACTORS}),
    )


LLAMA = Recipe(name="llama", build=build)
