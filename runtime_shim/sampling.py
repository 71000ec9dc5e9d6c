"""From a row of logits to a token. Knows numpy only; filters come in llama.cpp's order."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sharkpack.formats.errors import SharkpackError

Logits = npt.NDArray[np.float32]

# Sorting a row of 262,144 takes 20 ms; the nucleus nearly always lies in these many, found in 2.
_NUCLEUS_GUESS = 1024


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
        _require(
            self.temperature >= 0 and math.isfinite(self.temperature), "temperature", self.temperature, "0 or more"
        )
        _require(self.top_k >= 0, "top-k", self.top_k, "0 (all) or more")
        _require(0 < self.top_p <= 1, "top-p", self.top_p, "above 0 and at most 1")
        _require(0 <= self.min_p <= 1, "min-p", self.min_p, "from 0 to 1")
        penalty = self.repeat_penalty
        _require(penalty > 0 and math.isfinite(penalty), "repeat-penalty", penalty, "above 0 (1: none)")
        _require(self.repeat_window >= 0, "repeat-window", self.repeat_window, "0 or more")
        _require(self.seed is None or self.seed >= 0, "seed", self.seed, "0 or more")


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
            raise SharkpackError("the program returned logits that are not finite: the bundle or its target is broken")
        if self._random is None:
            return best
        tokens, values = _candidates(logits, self.sampling, float(logits[best]))
        scaled = (values.astype(np.float64) - float(logits[best])) / self.sampling.temperature
        cumulative = np.exp(scaled).cumsum()
        draw = self._random.random() * cumulative[-1]
        return int(tokens[min(int(cumulative.searchsorted(draw, side="right")), len(tokens) - 1)])


def _require(holds: bool, name: str, found: object, expected: str) -> None:
    if not holds:
        raise SharkpackError(f"{name} is {found}: expected {expected}")


def _penalised(logits: Logits, recent: list[int], penalty: float) -> Logits:
    tokens = np.unique(np.asarray(recent, np.int64))
    logits = logits.copy()
    values = logits[tokens]
    logits[tokens] = np.where(values > 0, values / penalty, values * penalty)
    return logits


def _candidates(logits: Logits, sampling: Sampling, best: float) -> tuple[npt.NDArray[np.int64], Logits]:
    """What top-k, top-p and min-p leave, the likeliest first where a filter sorts: token ids and their logits."""
    tokens = np.arange(len(logits))
    if 0 < sampling.top_k < len(logits):
        tokens = np.argpartition(logits, -sampling.top_k)[-sampling.top_k :]
    if sampling.top_p < 1.0:
        tokens = _nucleus(logits, tokens, sampling.top_p, best)
    if sampling.min_p > 0.0:
        tokens = tokens[logits[tokens] >= best + math.log(sampling.min_p)]
    return tokens, logits[tokens]


def _nucleus(logits: Logits, tokens: npt.NDArray[np.int64], top_p: float, best: float) -> npt.NDArray[np.int64]:
    """The fewest likeliest of `tokens` whose probabilities, among `tokens`, add up to `top_p`."""
    values = logits[tokens]
    weights = np.exp(values.astype(np.float64) - best)
    wanted = top_p * weights.sum()
    if len(tokens) > _NUCLEUS_GUESS:
        likeliest = np.argpartition(values, -_NUCLEUS_GUESS)[-_NUCLEUS_GUESS:]
        if weights[likeliest].sum() >= wanted:
            tokens, values, weights = tokens[likeliest], values[likeliest], weights[likeliest]
    order = np.argsort(-values, kind="stable")
    count = int(weights[order].cumsum().searchsorted(wanted)) + 1
    return tokens[order[:count]]
