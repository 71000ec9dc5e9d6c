"""Gemma 3 (text): scaled embeddings, norms before and after each block, normalised q and k, GeGLU, and five layers of
sliding window to each global one, with a rope base of their own."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
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
from sharkpack.templates.rope import SCALING_KEYS, Rope, plain_frequencies, scaled_frequencies

KNOWN_KEYS = SCALING_KEYS | {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "rope.freq_base",
    "rope.freq_base_swa",
}

GLOBAL_EVERY = 6
"""Of the architecture, not in the file: the last layer of each six sees the whole context."""

LOCAL_THETA = 10000.0
"""Of the architecture: the rope base of sliding window layers where the file has none."""

LAYERS_OF_27B = 62
"""The one size whose query scale is not 1/sqrt(head_dim) but 1/sqrt(dim / heads)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    layers: int
    dim: int
    feed_forward: int
    heads: int
    kv_heads: int
    head_dim: int
    window: int
    global_theta: float
    local_theta: float
    scale: float
    epsilon: float
    gelu: Literal["gelu", "gelu_f16"]
    vocab_size: int

    @classmethod
    def from_source(cls, source: Source) -> "Config":
        refuse_unknown_keys(source, KNOWN_KEYS)
        dim, heads = source.integer("embedding_length"), source.integer("attention.head_count")
        layers, head_dim = source.integer("block_count"), source.integer("attention.key_length", 256)
        kv_heads = source.integer("attention.head_count_kv", heads)
        check_heads(source, heads, kv_heads, head_dim, head_dim)
        window = source.integer("attention.sliding_window")
        if window < 1:
            raise SharkpackError(f"attention.sliding_window is {window}; it must be at least 1")
        return cls(
            layers=layers,
            dim=dim,
            feed_forward=source.integer("feed_forward_length"),
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            window=window,
            global_theta=source.floating("rope.freq_base", 1000000.0),
            local_theta=source.floating("rope.freq_base_swa", LOCAL_THETA),
            scale=(dim / heads if layers == LAYERS_OF_27B else head_dim) ** -0.5,
            epsilon=source.floating("attention.layer_norm_rms_epsilon"),
            gelu="gelu_f16" if source.kind == "gguf" else "gelu",
            vocab_size=rows_of(source, "token_embd.weight"),
        )

    def is_global(self, layer: int) -> bool:
        return layer % GLOBAL_EVERY == GLOBAL_EVERY - 1


class Layer(torch.nn.Module):
    def __init__(
        self, table: WeightTable, index: int, config: Config, options: ModelOptions, cache: CacheLayout
    ) -> None:
        super().__init__()
        self.index, self.heads, self.cache_layout, self.scale = index, config.heads, cache, config.scale
        self.rope = "full" if config.is_global(index) else "sliding"
        self.gelu = config.gelu
        self.window = 0 if config.is_global(index) else config.window
        name, dim, epsilon, precision = f"blk.{index}", config.dim, config.epsilon, options.activations
        q_rows, kv_rows = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.attn_norm = RMSNorm(table, f"{name}.attn_norm", dim, epsilon, remainder=True)
        self.attn_q = Linear(table, f"{name}.attn_q", q_rows, dim, precision)
        self.attn_k = Linear(table, f"{name}.attn_k", kv_rows, dim, precision)
        self.attn_v = Linear(table, f"{name}.attn_v", kv_rows, dim, finer(precision))
        self.attn_q_norm = RMSNorm(table, f"{name}.attn_q_norm", config.head_dim, epsilon)
        self.attn_k_norm = RMSNorm(table, f"{name}.attn_k_norm", config.head_dim, epsilon)
        self.attn_output = Linear(table, f"{name}.attn_output", dim, q_rows, precision)
        self.post_attention_norm = RMSNorm(table, f"{name}.post_attention_norm", dim, epsilon)
        self.ffn_norm = RMSNorm(table, f"{name}.ffn_norm", dim, epsilon)
        self.ffn_gate = Linear(table, f"{name}.ffn_gate", config.feed_forward, dim, precision)
        self.ffn_up = Linear(table, f"{name}.ffn_up", config.feed_forward, dim, precision)
        self.ffn_down = Linear(table, f"{name}.ffn_down", dim, config.feed_forward, precision)
        self.post_ffw_norm = RMSNorm(table, f"{name}.post_ffw_norm", dim, epsilon)

    def forward(self, x: Tensor, angles: Tensor, batch: Batch, cache: Tensor) -> tuple[Tensor, Tensor]:
        h = self.attn_norm(x)
        q, k = self.attn_q_norm.each_head(self.attn_q(h)), self.attn_k_norm.each_head(self.attn_k(h))
        attended, cache = paged_attention(
            q,
            k,
            self.attn_v(h),
            angles,
            batch,
            cache,
            self.cache_layout,
            layer=self.index,
            heads=self.heads,
            scale=self.scale,
            window=self.window,
        )
        x = self.post_attention_norm.add_to(x, self.attn_output(Rows.of(attended)))
        h = self.ffn_norm(x)
        y = self.ffn_down(gated(self.ffn_gate, self.ffn_up, h, self.gelu))
        return self.post_ffw_norm.add_to(x, y), cache


class Gemma3(CausalModel):
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
        context, head_dim = options.context_length, config.head_dim
        wide, magnitude = scaled_frequencies(source, config.global_theta, head_dim)
        narrow = plain_frequencies(config.local_theta, head_dim)
        self.rope = torch.nn.ModuleDict(
            {
                "full": Rope(table, "full", wide, context, magnitude),
                "sliding": Rope(table, "sliding", narrow, context),
            }
        )
        self.blk = torch.nn.ModuleList(
            Layer(table, i, config, options, self.cache_layout) for i in range(config.layers)
        )
        self.output_norm = RMSNorm(table, "output_norm", config.dim, config.epsilon, remainder=True)
        self.output: Linear | None = None
        if table.has("output.weight"):
            self.output = Linear(table, "output", config.vocab_size, config.dim, finer(options.activations))
        table.refuse_rest()
        self.weights = table.weights

    def forward(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch = Batch.of(tokens, page_ids, start_positions, seq_lens)
        positions = positions_of(tokens, start_positions, self.options.context_length)
        angles = {name: rope(positions) for name, rope in self.rope.items()}
        x = self.token_embd(tokens.reshape(-1)) * self.config.dim**0.5
        for layer in self.blk:
            x, cache = layer(x, angles[str(layer.rope)], batch, cache)
        h = self.output_norm(last_rows(x, tokens, start_positions, seq_lens))
        if self.output is None:
            return self.token_embd.as_head(h, finer(self.options.activations)), cache
        return self.output(h), cache


GEMMA3 = Recipe(name="gemma3", build=Gemma3)
