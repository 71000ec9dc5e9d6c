"""Granite 3: Llama's graph with factors of its own on embeddings, scores, what a block adds, and logits."""

from torch import Tensor

from sharkpack.formats.errors import SharkpackError
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

SCALES = ("attention.scale", "embedding_scale", "residual_scale", "logit_scale")


class Layer(DenseBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: AttentionConfig,
        residual_scale: float,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending)
        self.residual_scale = residual_scale
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        y, cache = self.attend(self.attn_norm(x), angles, batch, cache)
        x = x + self.residual_scale * y
        return x + self.residual_scale * self.feed_forward(self.ffn_norm(x)), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, SHAPE_KEYS | SCALING_KEYS | set(SCALES))
    shape, table = Shape.of(source), WeightTable(source)
    scale, embedding_scale, residual_scale, logit_scale = (source.floating(key) for key in SCALES)
    if not logit_scale:
        raise SharkpackError("logit_scale is 0; logits are divided by it")
    attending = AttentionConfig(scale=scale, pairs_neighbours=source.ggml_row_order)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, attending, residual_scale),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim)},
        embedding_scale=embedding_scale,
        logit_scale=1.0 / logit_scale,
    )


GRANITE = Recipe(name="granite", build=build)
