"""Gemma 3 (text): scaled embeddings, norms before and after each block, normalised q and k, GeGLU, and five layers of
sliding window to each global one, with a rope base of their own."""

from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Activation, RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import SCALING_KEYS, plain_frequencies, scaled_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

KNOWN_KEYS = SHAPE_KEYS | SCALING_KEYS | {"attention.sliding_window", "rope.freq_base_swa"}

GLOBAL_EVERY = 6
"""Of the architecture, not in the file: the last layer of each six sees the whole context."""

HEAD_DIM = 256
GLOBAL_THETA = 1000000.0
LOCAL_THETA = 10000.0
"""Of the architecture where the file has none; the local base is that of sliding window layers."""

LAYERS_OF_27B = 62
"""The one size whose query scale is not 1/sqrt(head_dim) but 1/sqrt(dim / heads)."""


class Layer(DenseBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: AttentionConfig,
        gelu: Activation,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending, gelu)
        name, dim, epsilon = f"blk.{index}", shape.dim, shape.epsilon
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, epsilon)
        self.post_attention_norm = RMSNorm(table, f"{name}.post_attention_norm", dim, epsilon)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, epsilon)
        self.post_ffw_norm = RMSNorm(table, f"{name}.post_ffw_norm", dim, epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        y, cache = self.attend(self.attn_norm(x), angles, batch, cache)
        x = self.post_attention_norm.add_to(x, y)
        return self.post_ffw_norm.add_to(x, self.feed_forward(self.ffn_norm(x))), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source, head_dim=HEAD_DIM, theta=GLOBAL_THETA), WeightTable(source)
    window = source.integer("attention.sliding_window")
    if window < 1:
        raise SharkpackError(f"attention.sliding_window is {window}; it must be at least 1")
    scale = (shape.dim / shape.heads if shape.layers == LAYERS_OF_27B else shape.head_dim) ** -0.5
    wide = AttentionConfig(scale=scale, rope="full", norms="head")
    narrow = AttentionConfig(scale=scale, rope="sliding", norms="head", window=window)
    gelu: Activation = "gelu_f16" if source.kind == "gguf" else "gelu"

    def layer(index: int, cache: CacheLayout) -> Layer:
        attending = wide if index % GLOBAL_EVERY == GLOBAL_EVERY - 1 else narrow
        return Layer(table, index, shape, options, cache, attending, gelu)

    local_theta = source.floating("rope.freq_base_swa", LOCAL_THETA)
    ropes = {
        "full": scaled_frequencies(source, shape.rope_theta, shape.rope_dim),
        "sliding": (plain_frequencies(local_theta, shape.rope_dim), 1.0),
    }
    return Decoder(table, shape, options, layer, ropes, embedding_scale=shape.dim**0.5)


GEMMA3 = Recipe(name="gemma3", build=build)
