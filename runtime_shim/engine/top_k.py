"""Choosing among all of a vocabulary's logits in a time that a token can spare: exact, and without sorting them all.

Numpy argsorts 262,144 numbers in 20 ms, and adds them up one by one in 2; Gemma computes a token in 12.
"""

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

_ROWS = 64
_BLOCK = 256
_NUCLEUS_GUESS = 1024
_ROUNDING = 1e-6


def largest(values: Logits, count: int) -> Indices:
    """Where the `count` largest of `values` stand, in no order. Which of equals are taken is left open."""
    columns = len(values) // _ROWS
    found: Indices | None = None
    if count <= columns:
        # Each of the `count` best columns has a value that is at least the least of their best ones.
        best = values[: _ROWS * columns].reshape(_ROWS, columns).max(axis=0)
        found = np.flatnonzero(values >= np.partition(best, columns - count)[columns - count])
    among = values if found is None else values[found]
    chosen = np.argpartition(among, -count)[-count:]
    return chosen if found is None else found[chosen]


def nucleus(values: Logits, top_p: float) -> Indices:
    """Where the fewest likeliest stand whose probabilities add up to `top_p`, the likeliest first."""
    weights = np.exp(values - values.max())
    wanted = (top_p - _ROUNDING) * float(weights.sum(dtype=np.float64))
    count = min(_NUCLEUS_GUESS, len(values))
    likeliest = largest(values, count)
    while count < len(values) and weights[likeliest].sum(dtype=np.float64) < wanted:
        count = min(8 * count, len(values))
        likeliest = largest(values, count)
    ordered = likeliest[np.argsort(-values[likeliest], kind="stable")]
    return ordered[: int(weights[ordered].cumsum(dtype=np.float64).searchsorted(wanted)) + 1]


def draw(weights: Logits, uniform: float) -> int:
    """An index, each as likely as its share of `weights` (not negative, not all 0); `uniform` is from [0, 1)."""
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
