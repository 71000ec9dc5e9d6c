"""Sampling: from a row of logits to a token. Knows numpy only; filters come in llama.cpp's order.

Exact, and without sorting a vocabulary: numpy argsorts 262,144 numbers in 20 ms, and adds them up one by one in 2.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from sharkpack.runtime_shim.checks import whole_number
from sharkpack.runtime_shim.errors import BundleDamagedError, RequestError

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_ROWS = 64
_BLOCK = 256
_NUCLEUS_GUESS = 1024
_ROUNDING = 1e-6
_COLDEST = 1e-37
"""A temperature that float32 still divides by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Options of sampling: how to choose the next token. The default is greedy; raises SharkpackError for values
    without a meaning.

    temperature: 0 takes the argmax; higher is more varied. top_k: keep the k most probable (0: all).
    top_p: keep the most probable until they hold this much probability. min_p: keep those at least this share of the
    most probable. repeat_penalty: divide (positive) or multiply (negative) the logits of the last `repeat_window`
    tokens.
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
        tokens = top_k(logits, sampling.top_k)
    if sampling.top_p < 1.0:
        left = top_p(logits if tokens is None else logits[tokens], sampling.top_p)
        tokens = left if tokens is None else tokens[left]
    if sampling.min_p > 0.0:
        least = best + math.log(sampling.min_p)
        tokens = np.flatnonzero(logits >= least) if tokens is None else tokens[logits[tokens] >= least]
    return tokens


def top_k(values: Logits, count: int) -> Indices:
    """Returns the indices of the `count` largest of `values`, in no order. Which of equals are taken is left open."""
    columns = len(values) // _ROWS
    found: Indices | None = None
    if count <= columns:
        # Each of the `count` best columns has a value that is at least the least of their best ones.
        best = values[: _ROWS * columns].reshape(_ROWS, columns).max(axis=0)
        found = np.flatnonzero(values >= np.partition(best, columns - count)[columns - count])
    among = values if found is None else values[found]
    chosen = np.argpartition(among, -count)[-count:]
    return chosen if found is None else found[chosen]


def top_p(values: Logits, share: float) -> Indices:
    """Returns the indices of the nucleus: the fewest whose probabilities add up to `share`, the most probable first."""
    weights = np.exp(values - values.max())
    wanted = (share - _ROUNDING) * float(weights.sum(dtype=np.float64))
    count = min(_NUCLEUS_GUESS, len(values))
    best = top_k(values, count)
    while count < len(values) and weights[best].sum(dtype=np.float64) < wanted:
        count = min(8 * count, len(values))
        best = top_k(values, count)
    ordered = best[np.argsort(-values[best], kind="stable")]
    return ordered[: int(weights[ordered].cumsum(dtype=np.float64).searchsorted(wanted)) + 1]


def draw(weights: Logits, uniform: float) -> int:
    """Draws an index by its share of `weights` (not negative, not all 0); `uniform` is from [0, 1)."""
    blocks = np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK)).cumsum(dtype=np.float64)
    block, share = _locate(blocks, uniform)
    inside = weights[block * _BLOCK : (block + 1) * _BLOCK].cumsum(dtype=np.float64)
    return block * _BLOCK + _locate(inside, share)[0]


def _locate(cumulative: npt.NDArray[np.float64], uniform: float) -> tuple[int, float]:
    """The step of a cumulative sum in which `uniform` of the whole lies, and how far inside it, from 0 to 1."""
    target = uniform * cumulative[-1]
    # Rounding must not lead past the last step that adds anything.
    step = min(int(cumulative.searchsorted(target, side="right")), int(cumulative.searchsorted(cumulative[-1])))
    before = cumulative[step - 1] if step else 0.0
    return step, float((target - before) / (cumulative[step] - before))
