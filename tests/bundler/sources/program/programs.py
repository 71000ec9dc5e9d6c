"""A small sound program, and the ways in which authors break one."""

from typing import Any

import torch
from torch import Tensor

from sharkpack.bundler.sources.program import CustomModel

PAGE_SIZE = 8
DIM = 4
VOCABULARY = 256


class Sums(torch.nn.Module):
    """The running sum of the embeddings, kept in the page of each token."""

    starts_anew = carries = own_page = heeds_lengths = True

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.embedding = torch.nn.Parameter(torch.randn(VOCABULARY, DIM, generator=generator))

    def hidden(self, tokens: Tensor, starts: Tensor, ends: Tensor, pages: Tensor, cache: Tensor) -> Any:
        rows, cache = [], cache.clone()
        for row, start, end, own in zip(tokens, starts.tolist(), ends.tolist(), pages, strict=True):
            before = self._page(own, start - 1 if start else 0)
            state = cache[before, :DIM] if (start or not self.starts_anew) and self.carries else torch.zeros(DIM)
            for at, token in enumerate(row, start):
                state = state + self.embedding[token]
                rows.append(state)
                if at < end or not self.heeds_lengths:
                    cache[self._page(own, min(at, end - 1)), :DIM] = state
        return torch.stack(rows), cache

    def head(self, x: Tensor) -> Any:
        return x @ self.embedding.T

    def _page(self, own: Tensor, position: int) -> int:
        return int(own[position // PAGE_SIZE if self.own_page else 0])


class Shuffled(torch.nn.Module):
    """Without state and without loops, so that it can be traced; its parameters are of several types."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.embedding = torch.nn.Parameter(torch.randn(VOCABULARY, DIM, generator=generator).half())
        self.out = torch.nn.Parameter(torch.randn(VOCABULARY, DIM, generator=generator))
        self.register_buffer("order", torch.randperm(VOCABULARY, generator=generator))

    def hidden(self, tokens: Tensor, starts: Tensor, ends: Tensor, pages: Tensor, cache: Tensor) -> Any:
        return self.embedding[self.order[tokens.reshape(-1)]].float(), cache

    def head(self, x: Tensor) -> Any:
        return x @ self.out.T


def shuffled() -> CustomModel:
    """A factory of one."""
    return program(Shuffled(), name="shuffled", page_size=16)


class Unrolled(Shuffled):
    """A loop over tokens, which torch runs and nothing traces."""

    def hidden(self, *arguments: Tensor) -> Any:
        x, cache = super().hidden(*arguments)
        return torch.stack([row * 1 for row in x]), cache


def unrolled() -> CustomModel:
    """A factory of one."""
    return program(Unrolled(), name="unrolled", page_size=16)


def program(model: Any = None, **changes: Any) -> CustomModel:
    """A sound one, or one with `changes`."""
    values = {"name": "sums", "vocab_size": VOCABULARY, "context_length": 64, "page_elements": DIM}
    return CustomModel(model=model or Sums(), **{**values, "page_size": PAGE_SIZE, **changes})
