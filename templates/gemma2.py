"""Gemma 2: scaled embeddings, norms before and after each block, GeGLU, scores and logits that are capped, and a
sliding window in every other layer."""

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.attention_block import Attending
from sharkpack.templates.decoder import Decoder
from sharkpack.templates.layers import Activation
from sharkpack.templates.recipe import ModelOptions, Recipe, Source, WeightTable, refuse_unknown_keys
from sharkpack.templates.rope import plain_frequencies
from sharkpack.templates.sandwich_layer import SandwichLayer
from sharkpack.templates.shape import SHAPE_KEYS, Shape

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


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source, head_dim=HEAD_DIM), WeightTable(source)
    window = source.integer("attention.sliding_window", WINDOW)
    if window < 1:
        raise SharkpackError(f"attention.sliding_window is {window}; it must be at least 1")
    of_size = shape.dim / shape.heads if shape.layers == LAYERS_OF_27B else shape.head_dim
    scale = source.floating("attention.scale", of_size**-0.5)
    cap = source.floating("attn_logit_softcapping", SCORE_CAP)
    local = Attending(scale=scale, softcap=cap, window=window)
    whole = Attending(scale=scale, softcap=cap)
    gelu: Activation = "gelu_f16" if source.kind == "gguf" else "gelu"
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: SandwichLayer(table, index, shape, options, cache, whole if index % 2 else local, gelu),
        {"all": (plain_frequencies(shape.rope_theta, shape.rope_dim), 1.0)},
        embedding_scale=shape.dim**0.5,
        logit_softcap=source.floating("final_logit_softcapping", LOGIT_CAP),
    )


GEMMA2 = Recipe(name="gemma2", build=build)
