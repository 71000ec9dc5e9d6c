"""Llama and what shares its graph (SmolLM, Mistral's dense models): RMSNorm, rope, grouped heads, SwiGLU."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from sharkpack.templates.attention_block import Angles, Attending, Batch
from sharkpack.templates.decoder import Decoder
from sharkpack.templates.dense_block import DenseBlock
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers import RMSNorm
from sharkpack.templates.recipe import ModelOptions, Recipe, Source, WeightTable, refuse_unknown_keys
from sharkpack.templates.rope import SCALING_KEYS, scaled_frequencies
from sharkpack.templates.shape import SHAPE_KEYS, Shape

FACTORS = "rope_freqs.weight"
WINDOW = "attention.sliding_window"


class Layer(DenseBlock):
    def __init__(
        self,
        table: WeightTable,
        index: int,
        shape: Shape,
        options: ModelOptions,
        cache: CacheLayout,
        attending: Attending,
    ) -> None:
        super().__init__(table, index, shape, options, cache, attending)
        self.attn_norm = RMSNorm(table, f"blk.{index}.attn_norm", shape.dim, shape.epsilon, remainder=True)
        self.ffn_norm = RMSNorm(table, f"blk.{index}.ffn_norm", shape.dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.feed_forward(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, SHAPE_KEYS | SCALING_KEYS | {WINDOW})
    shape, table = Shape.of(source), WeightTable(source)
    attending = Attending(window=source.integer(WINDOW, 0), pairs_neighbours=source.ggml_row_order)
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, attending),
        {"all": scaled_frequencies(source, shape.rope_theta, shape.rope_dim, _factors(source, shape.rope_dim))},
        ignored=frozenset({FACTORS}),
    )


def _factors(source: Source, rope_dim: int) -> NDArray[np.float32] | None:
    """Llama 3's frequency divisors, which llama.cpp stores as a tensor."""
    if FACTORS not in source.tensors:
        return None
    tensor = source.tensors[FACTORS]
    if tuple(tensor.shape) != (rope_dim // 2,):
        raise SharkpackError(
            f"tensor '{FACTORS}' has shape {list(tensor.shape)}; the hyperparameters call for {[rope_dim // 2]}"
        )
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


LLAMA = Recipe(name="llama", build=build)
