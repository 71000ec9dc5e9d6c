"""A request as made, and the state of its sequence. Knows no device and no text."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from sharkpack.runtime_shim.engine.sampling import Sampler, Sampling


class SequenceStatus(Enum):
    """The state of a sequence in the scheduler."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt, in tokens, and how to go on from it. `on_token` sees each token, and `on_end` an end token; both may
    return a finish reason."""

    prompt_ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    end_token_ids: frozenset[int] = frozenset()
    on_token: Callable[[int], str | None] | None = None
    on_end: Callable[[int], str | None] | None = None


class TokenSequence:
    """A request on its way: its tokens, the pages that hold them and how many of them the cache has.

    `tokens` is the prompt and what was generated; `computed` of them have their keys and values in `pages`.
    Nobody will read it once it is `abandoned`. `sampled` counts the tokens that came, an end token too. `error` is what
    ended it, where something failed. Times are perf_counter's, 0 before they happen.
    """

    __slots__ = (
        "abandoned", "arrival", "computed", "error", "finish_reason", "first_token_at", "last_token_at", "pages",
        "prefill_seconds", "request", "sampled", "sampler", "status", "tokens",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.request = request
        self.tokens = list(request.prompt_ids)
        self.computed = 0
        self.sampled = 0
        self.pages: list[int] = []
        self.status = SequenceStatus.WAITING
        self.finish_reason: str | None = None
        self.error: Exception | None = None
        self.sampler = Sampler(request.sampling)
        self.arrival = 0
        self.abandoned = False
        self.prefill_seconds = self.first_token_at = self.last_token_at = 0.0

    @property
    def pending(self) -> int:
        """The number of tokens that the next calls have to compute; 1 means that the sequence is decoding."""
        return len(self.tokens) - self.computed

    @property
    def generated_ids(self) -> list[int]:
        """The tokens that came after the prompt, without the end token."""
        return self.tokens[len(self.request.prompt_ids) :]

    def accept(self, token_id: int, context_length: int) -> str | None:
        """Take the next token. Returns the reason why the sequence ends with it, or None: it goes on."""
        self.sampled += 1
        self.last_token_at = time.perf_counter()
        self.first_token_at = self.first_token_at or self.last_token_at
        if token_id in self.request.end_token_ids:
            return (self.request.on_end(token_id) if self.request.on_end else None) or "stop"
        self.tokens.append(token_id)
        reason = self.request.on_token(token_id) if self.request.on_token else None
        if reason is not None:
            return reason
        if self.sampled >= self.request.max_tokens or len(self.tokens) > context_length:
            return "length"
        return None
