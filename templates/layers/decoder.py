"""The frame of a recipe's layers: embedding, ropes, the final norm and the output head, tied or not."""

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.attention_block import AttentionBlock, Batch
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.modules import Embedding, Linear, RMSNorm
from sharkpack.templates.layers.recipe import CausalModel, WeightTable
from sharkpack.templates.layers.rope import Frequencies, Rope
from sharkpack.templates.layers.shape import Shape

MakeLayer = Callable[[int, CacheLayout], AttentionBlock]
"""The layer of that index. Its forward takes (x, angles, batch, cache) and returns (x, cache)."""


class MakeNorm(Protocol):
    """A norm of that name and size; its forward takes [rows, size] and returns them."""

    def __call__(self, table: WeightTable, name: str, size: int, epsilon: float) -> torch.nn.Module: ...


class Decoder(CausalModel):
    """A causal language model of such layers. Refuses tensors that nothing uses, but those `ignored`.

    embedding_scale, logit_scale: factors on what the embedding and the head give. logit_softcap: other than 0, logits
    become logit_softcap * tanh(logit / logit_softcap). norm: the kind of the final norm.
    """

    def __init__(
        self,
        table: WeightTable,
        shape: Shape,
        options: ModelOptions,
        make_layer: MakeLayer,
        ropes: Mapping[str, Frequencies],
        *,
        embedding_scale: float = 1.0,
        logit_scale: float = 1.0,
        logit_softcap: float = 0.0,
        norm: MakeNorm = RMSNorm,
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__()
        self.shape, self.vocab_size, self.dim = shape, shape.vocab_size, shape.dim
        self.options, self.embedding_scale = options, embedding_scale
        self.logit_scale, self.logit_softcap = logit_scale, logit_softcap
        self.cache_layout = shape.cache_layout(options)
        self.token_embd = Embedding(table, "token_embd", shape.vocab_size, shape.dim)
        self.rope = torch.nn.ModuleDict(
            {name: Rope(table, name, scaled, options.context_length) for name, scaled in ropes.items()}
        )
        self.blk = torch.nn.ModuleList(make_layer(i, self.cache_layout) for i in range(shape.layers))
        self.output_norm = norm(table, "output_norm", shape.dim, shape.epsilon)
        self.output: Linear | None = None
        if table.has("output.weight"):
            self.output = Linear(table, "output", shape.vocab_size, shape.dim, "fine")
        table.refuse_rest(ignored)
        self.weights = table.weights

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch = Batch.of(tokens, page_ids, start_positions, seq_lens, self.shape)
        positions = _positions(tokens, start_positions, self.options.context_length)
        angles = {name: rope(positions) for name, rope in self.rope.items()}
        x = self.token_embd(tokens.reshape(-1))
        if self.embedding_scale != 1.0:
            x = x * self.embedding_scale
        for layer in self.blk:
            x, cache = layer(x, angles, batch, cache)
        return x, cache

    def norm(self, x: Tensor) -> Tensor:
        rows: Tensor = self.output_norm(x)
        return rows

    def head(self, x: Tensor) -> Tensor:
        logits = self._logits(x)
        if self.logit_scale != 1.0:
            logits = logits * self.logit_scale
        if self.logit_softcap:
            logits = self.logit_softcap * torch.tanh(logits / self.logit_softcap)
        return logits

    def _logits(self, h: Tensor) -> Tensor:
        if self.output is None:
            return self.token_embd.as_head(h)
        return self.output.forward(h)


def _positions(tokens: Tensor, start_positions: Tensor, context_length: int) -> Tensor:
    """Position of each token [N, S], flattened; padding past the context is clamped, its result is never read."""
    offsets = torch.arange(tokens.shape[1], dtype=torch.int64)
    return (start_positions[:, None] + offsets[None, :]).clamp(max=context_length - 1).reshape(-1)
