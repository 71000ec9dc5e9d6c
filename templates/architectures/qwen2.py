"""Qwen2 and Qwen2.5: Llama's graph with biases on q, k and v, rotation by halves, and often a tied head."""

from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source


class Layer(DenseBlock):
    def __init__(self, table: WeightTable, index: int, shape: Shape, options: ModelOptions, cache: CacheLayout) -> None:
        super().__init__(table, index, shape, options, cache)
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.feed_forward(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, SHAPE_KEYS | SCALING_KEYS)
    shape, table = Shape.of(source), WeightTable(source)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim)},
    )


QWEN2 = Recipe(name="qwen2", build=build)
