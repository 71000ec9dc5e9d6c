"""Perplexity of a text that is longer than the context: overlapping windows, each token scored once."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sharkpack.runtime_shim.engine.engine import Engine
from sharkpack.runtime_shim.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Tokens begin..end of a text are computed, and those from `scored` on are scored."""

    begin: int
    scored: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The result of a text.

    tokens: how many were scored, of `text_tokens`; text_bytes: their UTF-8 length. negative_log_likelihood: of all of
    them, in nats. context, stride: of the windows, in tokens.
    """

    tokens: int
    text_tokens: int
    text_bytes: int
    windows: int
    context: int
    stride: int
    negative_log_likelihood: float

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-likelihood of a token; infinite where that exceeds what a float holds."""
        mean = self.negative_log_likelihood / self.tokens
        return math.exp(mean) if mean < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """Comparable between vocabularies."""
        return self.negative_log_likelihood / math.log(2) / self.text_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPlan:
    """A text cut into windows. `prefix` stands before each: BOS, for a model that wants it."""

    text: str
    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    prefix: tuple[int, ...]
    context: int
    stride: int
    windows: tuple[Window, ...]

    @property
    def tokens(self) -> int:
        """The number of scored tokens."""
        return sum(window.end - window.scored for window in self.windows)


def plan_evaluation(engine: Engine, text: str, *, context: int | None, stride: int | None) -> EvaluationPlan:
    """Tokenize and cut. context: tokens of a window, at most (and by default) the engine's. stride: tokens scored in
    each window but the first, by default half of it. Raises SharkpackError for sizes that leave nothing to score."""
    tokenizer = engine.bundle.manifest.tokenizer
    encoding = engine.bundle.tokenizer.encode(text, add_special_tokens=False)
    prefix = () if tuple(encoding.ids[: len(tokenizer.prefix)]) == tokenizer.prefix else tokenizer.prefix
    length = engine.info.context_length if context is None else context
    if not 2 <= length <= engine.info.context_length:
        raise RequestError(f"context is {length}: expected 2 to {engine.info.context_length}, as the bundle was built")
    if length <= len(prefix):
        raise RequestError(f"context is {length}: the {len(prefix)} tokens before each text leave no room for it")
    step = max(1, length // 2) if stride is None else stride
    if not 1 <= step < length:
        raise RequestError(f"stride is {step}: expected 1 to {length - 1}, fewer than the {length} of the context")
    first = 0 if prefix else 1
    if len(encoding.ids) <= first:
        raise RequestError(f"the text has {len(encoding.ids)} tokens: too few to score one")
    return EvaluationPlan(
        text=text,
        token_ids=tuple(encoding.ids),
        ends=tuple(end for _, end in encoding.offsets),
        prefix=prefix,
        context=length,
        stride=step,
        windows=tuple(cut_windows(len(encoding.ids), length - len(prefix), step, first)),
    )


def cut_windows(tokens: int, room: int, stride: int, first: int) -> Iterator[Window]:
    """Windows of at most `room` tokens that score each from `first` on once, with as much before it as there is room.

    The first window scores all that it holds; each other one the `stride` tokens that follow.
    """
    end = min(room, tokens)
    yield Window(begin=0, scored=first, end=end)
    while end < tokens:
        scored, end = end, min(end + stride, tokens)
        yield Window(begin=max(0, end - room), scored=scored, end=end)


def evaluate(engine: Engine, plan: EvaluationPlan) -> Iterator[Evaluation]:
    """Score window after window; each yields what came of the text so far, the last of all of it."""
    total, tokens = 0.0, 0
    skipped = plan.ends[0] if plan.windows[0].scored else 0
    for number, window in enumerate(plan.windows, 1):
        ids = [*plan.prefix, *plan.token_ids[window.begin : window.end]]
        before = len(plan.prefix) + window.scored - window.begin
        total -= float(engine.score(ids, first=before - 1).log_probabilities.sum())
        tokens += window.end - window.scored
        yield Evaluation(
            tokens=tokens,
            text_tokens=len(plan.token_ids),
            text_bytes=max(1, len(plan.text[skipped : plan.ends[window.end - 1]].encode("utf-8", "replace"))),
            windows=number,
            context=plan.context,
            stride=plan.stride,
            negative_log_likelihood=total,
        )
