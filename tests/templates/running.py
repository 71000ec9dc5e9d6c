"""A recipe's model, run eagerly with its weights: what tests of whole models share."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from sharkpack.bundler.model_spec.weight_bytes import convert
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES

PAGE = 16
LENGTH = 36
"""Tokens of a sequence: three pages, and past Gemma's window of 16."""

TOKENS = torch.randint(3, 250, (2, LENGTH), generator=torch.Generator().manual_seed(0))


def options(dtype: Literal["f16", "f32"]) -> ModelOptions:
    return ModelOptions(context_length=48, page_size=PAGE, cache_dtype=dtype)


def load(source: SourceModel, options: ModelOptions) -> CausalModel:
    model = RECIPES[source.architecture].build(source, options)
    buffers = dict(model.named_buffers())
    for name, weight in model.weights.items():
        values = torch.from_numpy(convert(weight, source).copy())
        buffers[name].copy_(values.view(buffers[name].dtype).reshape(buffers[name].shape))
    return model


class Model(Protocol):
    """A CausalModel, or what computes the same."""

    @property
    def cache_layout(self) -> CacheLayout: ...

    def __call__(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> logits of each sequence's last token, cache."""
        ...


class Running:
    """A model with some sequences in its cache, whose pages are scattered."""

    def __init__(self, model: Model, sequences: int = 1) -> None:
        self.model = model
        width = -(-LENGTH // PAGE)
        dtype = CACHE_DTYPES[model.cache_layout.dtype]
        # What nobody wrote is no number: neither are scales of an 8-bit cache whose bits are all set.
        unwritten = torch.nan if dtype.is_floating_point else -1
        self.cache = torch.full((1 + sequences * width, model.cache_layout.page_elements), unwritten, dtype=dtype)
        self.page_ids = torch.arange(sequences * width, 0, -1).reshape(width, sequences).T.contiguous()

    def step(self, tokens: Tensor, starts: list[int], lens: list[int]) -> Tensor:
        where = torch.tensor(starts), torch.tensor(lens), self.page_ids
        logits: Tensor
        logits, self.cache = self.model(tokens, *where, self.cache)
        assert torch.isfinite(logits).all()
        return logits

    def in_chunks(self, tokens: Tensor, sizes: list[int]) -> dict[int, Tensor]:
        """Logits [vocabulary] after each chunk of one sequence, by its length so far."""
        found, start = {}, 0
        for size in sizes:
            end = start + size
            found[end] = self.step(tokens[None, start:end], [start], [end])[0]
            start = end
        return found
