"""Gemma 2: scaled embeddings, norms before and after each block, GeGLU, scores and logits that are capped, and a
sliding window in every other layer."""

from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Activation, RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import plain_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

KNOWN_KEYS = SHAPE_KEYS | {
    "attention.scale",
    "attention.sliding_window",
    "attn_logit_softcapping",
    "final_logit_softcapping",
}

HEAD_DIM = 256
WINDOW = 4096
SCORE_CAP = 50.0
LOGIT_CAP = 30.0
"""Of the architecture, where the file says nothing of them."""

LAYERS_OF_27B = 46
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
    shape, table = Shape.of(source, head_dim=HEAD_DIM), WeightTable(source)
    window = source.integer("attention.sliding_window", WINDOW)
    if window < 1:
        raise SharkpackError(f"attention.sliding_window is {window}; it must be at least 1")
    of_size = shape.dim / shape.heads if shape.layers == LAYERS_OF_27B else shape.head_dim
    scale = source.floating("attention.scale", of_size**-0.5)
    cap = source.floating("attn_logit_softcapping", SCORE_CAP)
    local = AttentionConfig(scale=scale, softcap=cap, window=window)
    whole = AttentionConfig(scale=scale, softcap=cap)
    gelu: Activation = "gelu_f16" if source.kind == "gguf" else "gelu"
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, whole if index % 2 else local, gelu),
        {"all": (plain_frequencies(shape.rope_theta, shape.rope_dim), 1.0)},
        embedding_scale=shape.dim**0.5,
        logit_softcap=source.floating("final_logit_softcapping", LOGIT_CAP),
    )


GEMMA2 = Recipe(name="gemma2", build=build)
