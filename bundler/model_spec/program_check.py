"""Holds a custom program to the ABI before anything is compiled: runs it in torch on a few tokens."""

from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from sharkpack.bundler.sources.program.custom_model import CustomModel
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line
from sharkpack.templates.layers.model_options import ModelOptions

SEQUENCES = 2
PAGES = 5
TOLERANCE = 1e-3
"""Of logits, to the largest of them: float32 in another order of operations, and a cache of f16."""


def check_program(program: CustomModel, options: ModelOptions, page_elements: int) -> int:
    """Check it against docs/custom-programs.md; returns D, the width of its hidden rows.

    Raises SharkpackError that says what was found and what was expected.
    """
    check = _Check(program=program, options=options, page_elements=page_elements)
    length = min(options.context_length, options.page_size + 3)
    tokens = torch.arange(SEQUENCES * length).reshape(SEQUENCES, length) * 7 % program.vocab_size
    whole, _ = check.run(tokens, 0, check.cache(0.0), "prefill")
    if not whole.isfinite().all():
        check.fail("prefill: some logits are no finite numbers (nan or inf)")
    used, _ = check.run(tokens, 0, check.cache(0.5), "prefill")
    check.agree(used, whole, "a sequence depends on what the cache held before it: start anew at position 0")
    padded = torch.cat([tokens, torch.zeros_like(tokens[:, :1])], dim=1) if length < options.context_length else tokens
    beside, cache = check.run(padded, 0, check.cache(0.0), "prefill", length)
    check.agree(beside[:, :length], whole, "tokens at or behind seq_lens change the logits before them")
    check.in_pieces(tokens, whole)
    if length < options.context_length:
        _, plain = check.run(tokens, 0, check.cache(0.0), "prefill")
        after, _ = check.run(tokens[:, :1], length, plain, "decode")
        behind, _ = check.run(tokens[:, :1], length, cache, "decode")
        check.agree(behind, after, "tokens at or behind seq_lens change the state that is kept")
    return check.width


@dataclass
class _Check:
    """Calls of the program on two sequences that have two pages each, page 0 being scratch."""

    program: CustomModel
    options: ModelOptions
    page_elements: int
    width: int = 0

    def cache(self, value: float) -> Tensor:
        dtype = torch.float16 if self.options.cache_dtype == "f16" else torch.float32
        return torch.full((PAGES, self.page_elements), value, dtype=dtype)

    def run(
        self, tokens: Tensor, start: int, cache: Tensor, entry: str, end: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits [sequences, tokens, V] and the cache of one call, whose types and shapes are checked."""
        count, each = tokens.shape
        starts = torch.full((count,), start)
        lengths = torch.full((count,), start + each if end is None else end)
        pages = torch.arange(1, 1 + 2 * count).reshape(count, 2)
        try:
            hidden = self.program.model.hidden(tokens, starts, lengths, pages, cache.clone())
        except Exception as error:  # code that is not ours
            self.fail(f"hidden raised {type(error).__name__} in {entry}: {one_line(str(error))}")
        if not isinstance(hidden, tuple) or len(hidden) != 2:
            size = f"{len(hidden)} values" if isinstance(hidden, tuple) else f"a {type(hidden).__name__}"
            self.fail(f"hidden returned {size} in {entry}; expected two: the rows and the cache")
        x, after = hidden
        self.expect(f"{entry}: the rows of hidden", x, (count * each, None), torch.float32)
        self.expect(f"{entry}: the cache that hidden returns", after, (PAGES, self.page_elements), cache.dtype)
        self.width = x.shape[1]
        try:
            logits = self.program.model.head(x)
        except Exception as error:
            self.fail(f"head raised {type(error).__name__} in {entry}: {one_line(str(error))}")
        self.expect(f"{entry}: the logits of head", logits, (count * each, self.program.vocab_size), torch.float32)
        return logits.reshape(count, each, -1), after

    def in_pieces(self, tokens: Tensor, whole: Tensor) -> None:
        """A prefill cut anywhere, a decode after it, and two continuations of the same full page."""
        length = tokens.shape[1]
        for cut in sorted({length // 2, length - 1, min(self.options.page_size, length - 1)} - {0}):
            first, cache = self.run(tokens[:, :cut], 0, self.cache(0.0), "prefill")
            rest, after = self.run(tokens[:, cut:], cut, cache, "decode" if cut == length - 1 else "prefill")
            found = torch.cat([first, rest], dim=1)
            self.agree(
                found, whole, f"a prefill in pieces of {cut} and {length - cut} tokens differs from one of {length}"
            )
            if cut == self.options.page_size:
                again, _ = self.run(tokens[:, cut:], cut, after, "prefill")
                self.agree(
                    again, rest, "what follows a full page changes that page: keep each token's state in its own"
                )

    def agree(self, found: Tensor, expected: Tensor, what: str) -> None:
        error, scale = float((found - expected).abs().max()), float(expected.abs().max())
        if not error <= TOLERANCE * max(scale, 1e-6):
            self.fail(f"{what} (logits differ by {error:.3g}, the largest is {scale:.3g})")

    def expect(self, what: str, found: object, shape: tuple[int | None, ...], dtype: torch.dtype) -> None:
        wanted = f"{_type(dtype)} [{', '.join('D' if size is None else str(size) for size in shape)}]"
        if not isinstance(found, Tensor):
            self.fail(f"{what} is a {type(found).__name__}; expected {wanted}")
        fits = len(found.shape) == len(shape) and all(
            b is None or a == b for a, b in zip(found.shape, shape, strict=True)
        )
        if not fits or found.dtype != dtype:
            self.fail(f"{what} is {_type(found.dtype)} {list(found.shape)}; expected {wanted}")

    def fail(self, message: str) -> NoReturn:
        raise SharkpackError(f"program '{self.program.name}': {message}")


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
