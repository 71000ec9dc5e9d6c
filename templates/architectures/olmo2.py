"""OLMo 2: no norms before a block, one after it, and q and k normalised over all of a row."""

from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
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
        super().__init__(table, index, shape, options, cache, AttentionConfig(norms="row"))
        self.post_attention_norm = RMSNorm(table, f"blk.{index}.post_attention_norm", shape.dim, shape.epsilon)
        self.post_ffw_norm = RMSNorm(table, f"blk.{index}.post_ffw_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        y, cache = self.attend(x, angles, batch, cache)
        x = self.post_attention_norm.add_to(x, y)
        return self.post_ffw_norm.add_to(x, self.feed_forward(x)), cache


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


OLMO2 = Recipe(name="olmo2", build=build)
