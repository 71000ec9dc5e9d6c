"""Llama and what shares its graph (SmolLM, Mistral's dense models): RMSNorm, rope, grouped heads, SwiGLU."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers import (
    Batch,
    Embedding,
    Linear,
    RMSNorm,
    Rows,
    finer,
    gated,
    last_rows,
    paged_attention,
    positions_of,
)
from sharkpack.templates.recipe import (
    CausalModel,
    ModelOptions,
    Recipe,
    Source,
    WeightTable,
    check_heads,
    refuse_unknown_keys,
    rows_of,
)
from sharkpack.templates.rope import SCALING_KEYS, Rope, neighbours_to_halves, scaled_frequencies

KNOWN_KEYS = SCALING_KEYS | {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.dimension_count",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    layers: int
    dim: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_dim: int
    rope_theta: float
    epsilon: float
    vocab_size: int

    @classmethod
    def from_source(cls, source: Source) -> "Config":
        refuse_unknown_keys(source, KNOWN_KEYS)
        dim, heads = source.integer("embedding_length"), source.integer("attention.head_count")
        kv_heads = source.integer("attention.head_count_kv", heads)
        head_dim = source.integer("attention.key_length", dim // max(heads, 1))
        rope_dim = source.integer("rope.dimension_count", head_dim)
        check_heads(source, heads, kv_heads, head_dim, rope_dim)
        return cls(
            layers=source.integer("block_count"),
            dim=dim,
            feed_forward=source.integer("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            rope_dim=rope_dim,
            rope_theta=source.floating("rope.freq_base", 10000.0),
            epsilon=source.floating("attention.layer_norm_rms_epsilon"),
            vocab_size=rows_of(source, "token_embd.weight"),
        )


class Layer(torch.nn.Module):
    def __init__(
        self, table: WeightTable, index: int, config: Config, options: ModelOptions, cache: CacheLayout
    ) -> None:
        super().__init__()
        self.index, self.heads, self.cache_layout, self.scale = index, config.heads, cache, config.head_dim**-0.5
        name, dim, precision = f"blk.{index}", config.dim, options.activations
        q_rows, kv_rows = config.heads * config.head_dim, config.kv_heads * config.head_dim
        q_order = neighbours_to_halves(config.heads, config.head_dim, config.rope_dim)
        k_order = neighbours_to_halves(config.kv_heads, config.head_dim, config.rope_dim)
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, config.epsilon, remainder=True)
        self.attn_q = Linear(table, f"{name}.attn_q", q_rows, dim, precision, row_order=q_order, optional_bias=True)
        self.attn_k = Linear(table, f"{name}.attn_k", kv_rows, dim, precision, row_order=k_order, optional_bias=True)
        self.attn_v = Linear(table, f"{name}.attn_v", kv_rows, dim, finer(precision), optional_bias=True)
        self.attn_output = Linear(table, f"{name}.attn_output", dim, q_rows, precision, optional_bias=True)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, config.epsilon)
        self.ffn_gate = Linear(table, f"{name}.ffn_gate", config.feed_forward, dim, precision)
        self.ffn_up = Linear(table, f"{name}.ffn_up", config.feed_forward, dim, precision)
        self.ffn_down = Linear(table, f"{name}.ffn_down", dim, config.feed_forward, precision)

    def forward(self, x: Tensor, angles: Tensor, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        h = self.attn_norm(x)
        q, k, v = self.attn_q(h), self.attn_k(h), self.attn_v(h)
        attended, cache = paged_attention(
            q, k, v, angles, batch, cache, self.cache_layout, layer=self.index, heads=self.heads, scale=self.scale
        )
        x = self.attn_output(Rows.of(attended), residual=x)
        h = self.ffn_norm(x)
        return self.ffn_down(gated(self.ffn_gate, self.ffn_up, h, "silu"), residual=x), cache


class Llama(CausalModel):
    def __init__(self, source: Source, options: ModelOptions) -> None:
        super().__init__()
        config, table = Config.from_source(source), WeightTable(source)
        self.config, self.options, self.vocab_size = config, options, config.vocab_size
        self.cache_layout = CacheLayout(
            dtype=options.cache_dtype,
            page_size=options.page_size,
            layers=config.layers,
            kv_heads=config.kv_heads,
            key_head_dim=config.head_dim,
            value_head_dim=config.head_dim,
        )
        self.token_embd = Embedding(table, "token_embd", config.vocab_size, config.dim)
        frequencies, magnitude = scaled_frequencies(
            source, config.rope_theta, config.rope_dim, _factors(source, config.rope_dim)
        )
        self.rope = torch.nn.ModuleDict({"all": Rope(table, "all", frequencies, options.context_length, magnitude)})
        self.blk = torch.nn.ModuleList(
            Layer(table, i, config, options, self.cache_layout) for i in range(config.layers)
        )
        self.output_norm = RMSNorm(table, "output_norm", config.dim, config.epsilon, remainder=True)
        self.output: Linear | None = None
        if table.has("output.weight"):
            self.output = Linear(table, "output", config.vocab_size, config.dim, finer(options.activations))
        table.refuse_rest(frozenset({"rope_freqs.weight"}))
        self.weights = table.weights

    def forward(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch = Batch.of(tokens, page_ids, start_positions, seq_lens)
        angles = self.rope["all"](positions_of(tokens, start_positions, self.options.context_length))
        x = self.token_embd(tokens.reshape(-1))
        for layer in self.blk:
            x, cache = layer(x, angles, batch, cache)
        h = self.output_norm(last_rows(x, tokens, start_positions, seq_lens))
        if self.output is None:
            return self.token_embd.as_head(h, finer(self.options.activations)), cache
        return self.output(h), cache


def _factors(source: Source, rope_dim: int) -> NDArray[np.float32] | None:
    """Llama 3's frequency divisors, which llama.cpp stores as a tensor."""
    name = "rope_freqs.weight"
    if name not in source.tensors:
        return None
    tensor = source.tensors[name]
    if tuple(tensor.shape) != (rope_dim // 2,):
        raise SharkpackError(
            f"tensor '{name}' has shape {list(tensor.shape)}; the hyperparameters call for {[rope_dim // 2]}"
        )
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


LLAMA = Recipe(name="llama", build=Llama)
