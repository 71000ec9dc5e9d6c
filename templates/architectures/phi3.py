"""Phi-3 and Phi-4-mini: Llama's graph with q, k and v in one matrix, gate and up in another, and longrope."""

import numpy as np
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import Angles, AttentionConfig, Batch
from sharkpack.templates.layers.decoder import Decoder
from sharkpack.templates.layers.dense_block import DenseBlock
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import RMSNorm
from sharkpack.templates.layers.recipe import Recipe, WeightTable, refuse_unknown_keys
from sharkpack.templates.layers.rope import Frequencies, divisors, plain_frequencies
from sharkpack.templates.layers.shape import SHAPE_KEYS, Shape
from sharkpack.templates.layers.source import Source

KNOWN_KEYS = SHAPE_KEYS | {
    "attention.sliding_window",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
}
FACTORS = ("rope_factors_short.weight", "rope_factors_long.weight")


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
        name, dim, wide = f"blk.{index}", shape.dim, shape.feed_forward
        rows = {"q": shape.q_rows, "k": shape.kv_rows, "v": shape.kv_rows}
        table.split(f"{name}.attn_qkv.weight", dim, {f"{name}.attn_{part}.weight": rows[part] for part in rows})
        # The file's ffn_up holds the gate's rows, then those of up: the latter is renamed by what it is.
        table.split(f"{name}.ffn_up.weight", dim, {f"{name}.ffn_gate.weight": wide, f"{name}.ffn_up.weight": wide})
        super().__init__(table, index, shape, options, cache, attending)
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, shape.epsilon)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, shape.epsilon)

    def forward(self, x: Tensor, angles: Angles, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        x, cache = self.attend(self.attn_norm(x), angles, batch, cache, residual=x)
        return self.feed_forward(self.ffn_norm(x), residual=x), cache


def build(source: Source, options: ModelOptions) -> Decoder:
    refuse_unknown_keys(source, KNOWN_KEYS)
    shape, table = Shape.of(source), WeightTable(source)
    # As published; llama.cpp leaves the window out, which shows in texts longer than it.
    attending = AttentionConfig(window=source.integer("attention.sliding_window", 0))
    return Decoder(
        table,
        shape,
        options,
        lambda index, cache: Layer(table, index, shape, options, cache, attending),
        {"all": _frequencies(source, shape, options.context_length)},
        ignored=frozenset(FACTORS),
    )


def _frequencies(source: Source, shape: Shape, context: int) -> Frequencies:
    """Longrope (arXiv 2402.13753): divisors for contexts up to the original length, and others for longer ones.

    Which of them is decided by the context that the model is built for, once for all texts.
    """
    plain = plain_frequencies(shape.rope_theta, shape.rope_dim)
    if not any(name in source.tensors for name in FACTORS):
        return plain, 1.0
    original = source.integer("rope.scaling.original_context_length")
    name = FACTORS[context > original]
    factors = divisors(source, name, shape.rope_dim)
    if factors is None:
        raise SharkpackError(f"tensor '{name}' is missing; a {source.architecture} model with rope factors has it")
    return plain / factors.astype(np.float64), source.floating("rope.scaling.attn_factor", 1.0)


PHI3 = Recipe(name="phi3", build=build)
