"""A language model that is no transformer: leaky memories of different lengths, read byte by byte.

    sharkpack build examples/recurrent.py:model -o recurrent.shark
    sharkpack run recurrent.shark "The file is a " --raw

Each group of channels forgets at its own rate: state = exp(-rate) * state + input. A sequence's state after a token is
kept in the page of that token. The model learns docs/format.md when it is made, which takes some seconds.
"""

from pathlib import Path

import torch
from torch import Tensor

from sharkpack.bundler.sources.program import CustomModel

TEXT = Path(__file__).parent.parent / "docs" / "format.md"
VOCABULARY = 256
PAGE_SIZE = 32
GROUPS, CHANNELS, INNER = 6, 16, 128
STEPS = 400


class Recurrent(torch.nn.Module):
    """tokens -> embedding -> leaky memories -> two dense layers -> logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCABULARY, GROUPS * CHANNELS)
        self.mix = torch.nn.Linear(GROUPS * CHANNELS, INNER)
        self.out = torch.nn.Linear(INNER, VOCABULARY)
        # Half of a memory is gone after 1, 2, 4, ... tokens; the first group remembers nothing but its token.
        halves = torch.tensor([1 / 32, *(2.0**group for group in range(GROUPS - 1))])
        self.register_buffer("rates", torch.log(torch.tensor(2.0)) / halves)

    def memories(self, tokens: Tensor, state: Tensor) -> Tensor:
        """tokens [N, S], state [N, G, C] before them -> states after each token [N, S, G, C].

        All tokens at once: state[t] = sum of exp(-rate (t - s)) input[s] over s <= t, and of the old state at s = -1.
        """
        count, length = tokens.shape
        inputs = self.embedding(tokens).reshape(count, length, GROUPS, CHANNELS).permute(0, 2, 1, 3)
        at = torch.arange(length)
        age = at[:, None] - at[None, :]
        kept = torch.exp(-self.rates[:, None, None] * age.clamp(min=0).float())
        weights = torch.where(age >= 0, kept, 0.0)
        faded = torch.exp(-self.rates[:, None] * (at + 1).float())[None, :, :, None] * state[:, :, None, :]
        return (torch.matmul(weights, inputs) + faded).permute(0, 2, 1, 3)

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The model's step; docs/custom-programs.md says what it takes and gives."""
        count, length = tokens.shape
        before = torch.gather(page_ids, 1, ((start_positions - 1).clamp(min=0) // PAGE_SIZE)[:, None])[:, 0]
        state = torch.index_select(cache, 0, before)[:, : GROUPS * CHANNELS]
        state = torch.where((start_positions > 0)[:, None], state, 0.0)
        states = self.memories(tokens, state.reshape(count, GROUPS, CHANNELS))
        flat = states.reshape(count * length, GROUPS * CHANNELS)
        return torch.tanh(self.mix(flat)), self.keep(states, start_positions, seq_lens, page_ids, cache)

    def keep(
        self, states: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> Tensor:
        """Each page of the cache with the state after the last token that stands for it, all pages in one write."""
        count, length = states.shape[:2]
        pages = torch.arange(page_ids.shape[1])[None, :]
        last = torch.minimum((pages + 1) * PAGE_SIZE, seq_lens[:, None]) - 1
        written = torch.logical_and(last >= start_positions[:, None], pages * PAGE_SIZE < seq_lens[:, None])
        row = torch.arange(count)[:, None] * length + (last - start_positions[:, None]).clamp(min=0)
        flat = states.reshape(count * length, GROUPS * CHANNELS)
        values = torch.index_select(flat, 0, row.reshape(-1))
        values = torch.nn.functional.pad(values, (0, cache.shape[1] - GROUPS * CHANNELS))
        target = torch.where(written, page_ids, 0).reshape(-1)  # page 0 is scratch
        return cache.index_put((target,), values)

    def head(self, x: Tensor) -> Tensor:
        """Rows of `hidden` -> logits."""
        return self.out(x)


def model() -> CustomModel:
    """The factory for `sharkpack build examples/recurrent.py:model`."""
    module = Recurrent()
    learn(module, TEXT.read_bytes())
    return CustomModel(
        model=module,
        name="recurrent",
        vocab_size=VOCABULARY,
        context_length=512,
        page_elements=GROUPS * CHANNELS,
        page_size=PAGE_SIZE,
        license="Apache-2.0",
    )


def learn(module: Recurrent, text: bytes) -> None:
    """The same weights each time: all that is random is seeded."""
    generator = torch.Generator().manual_seed(0)
    for weight in module.parameters():
        torch.nn.init.normal_(weight, std=0.1, generator=generator)
    data = torch.tensor(list(text))
    optimizer = torch.optim.AdamW(module.parameters(), lr=5e-3)
    for _ in range(STEPS):
        starts = torch.randint(len(data) - 65, (16, 1), generator=generator)
        tokens = data[starts + torch.arange(65)]
        states = module.memories(tokens[:, :-1], torch.zeros(16, GROUPS, CHANNELS))
        logits = module.head(torch.tanh(module.mix(states.reshape(16 * 64, -1))))
        loss = torch.nn.functional.cross_entropy(logits, tokens[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
