"""From a row of logits to a token. Knows numpy only; filters come in llama.cpp's order."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sharkpack.runtime_shim.checks import whole_number
from sharkpack.runtime_shim.engine.top_k import Indices, Logits, draw, largest, nucleus
from sharkpack.runtime_shim.errors import BundleDamagedError, RequestError

_COLDEST = 1e-37
"""A temperature that float32 still divides by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to choose the next token. The default is greedy; raises SharkpackError for values without a meaning.

    temperature: 0 takes the likeliest; higher is more varied. top_k: keep the k likeliest (0: all).
    top_p: keep the likeliest until they hold this much probability. min_p: keep those at least this share of the
    likeliest. repeat_penalty: divide (positive) or multiply (negative) the logits of the last `repeat_window` tokens.
    seed: the same seed gives the same tokens; None draws one.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repeat_penalty: float = 1.0
    repeat_window: int = 64
    seed: int | None = None

    def __post_init__(self) -> None:
        _require(self.temperature, "temperature", lambda value: value >= 0, "0 or more")
        _require(self.top_p, "top-p", lambda value: 0 < value <= 1, "above 0 and at most 1")
        _require(self.min_p, "min-p", lambda value: 0 <= value <= 1, "from 0 to 1")
        _require(self.repeat_penalty, "repeat-penalty", lambda value: value > 0, "above 0 (1: none)")
        whole_number("top-k", self.top_k, least=0)
        whole_number("repeat-window", self.repeat_window, least=0)
        if self.seed is not None:
            whole_number("seed", self.seed, least=0)


class Sampler:
    """A Sampling with its random state: one a sequence, so that company in a batch changes nothing."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self._random = None if sampling.temperature == 0 else np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: Logits, history: list[int]) -> int:
        """The next token for `logits` (f32 [V], not modified) after the tokens of `history`, prompt included."""
        if self.sampling.repeat_penalty != 1.0 and self.sampling.repeat_window:
            logits = _penalised(logits, history[-self.sampling.repeat_window :], self.sampling.repeat_penalty)
        best = int(logits.argmax())
        if not math.isfinite(logits[best]):  # argmax finds a NaN first
            raise BundleDamagedError(
                "the program returned logits that are not finite: the bundle or its target is broken"
            )
        if self._random is None:
            return best
        tokens = _candidates(logits, self.sampling, float(logits[best]))
        values = logits if tokens is None else logits[tokens]
        with np.errstate(over="ignore"):  # what is too unlikely for float32 has weight 0
            weights = np.exp((values - logits[best]) / max(self.sampling.temperature, _COLDEST))
        drawn = draw(weights, self._random.random())
        return drawn if tokens is None else int(tokens[drawn])


def _require(found: Any, name: str, holds: Callable[[float], bool], expected: str) -> None:
    if not (isinstance(found, Real) and math.isfinite(found) and holds(float(found))):
        raise RequestError(f"{name} is {found}: expected {expected}")


def _penalised(logits: Logits, recent: list[int], penalty: float) -> Logits:
    tokens = np.unique(np.asarray(recent, np.int64))
    logits = logits.copy()
    values = logits[tokens]
    logits[tokens] = np.where(values > 0, values / penalty, values * penalty)
    return logits


def _candidates(logits: Logits, sampling: Sampling, best: float) -> Indices | None:
    """The tokens that top-k, top-p and min-p leave, in that order; None for all."""
    tokens: Indices | None = None
    if 0 < sampling.top_k < len(logits):
        tokens = largest(logits, sampling.top_k)
    if sampling.top_p < 1.0:
        left = nucleus(logits if tokens is None else logits[tokens], sampling.top_p)
        tokens = left if tokens is None else tokens[left]
    if sampling.min_p > 0.0:
        least = best + math.log(sampling.min_p)
        tokens = np.flatnonzero(logits >= least) if tokens is None else tokens[logits[tokens] >= least]
    return tokens
