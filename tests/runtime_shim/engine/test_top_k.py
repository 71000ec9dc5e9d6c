"""Top-k, nucleus and drawing over large vocabularies: the same as by sorting and adding up everything."""

import numpy as np
import pytest

from sharkpack.runtime_shim.engine.top_k import Logits, draw, largest, nucleus


def _logits(count: int, spread: float = 3.0, seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(0, spread, count).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 1000, 50_001])
def test_the_largest(size: int) -> None:
    values = _logits(size)
    ordered = np.argsort(-values)
    for count in sorted({1, 2, 40, size // 64, size // 64 + 1, size // 2, size} & set(range(1, size + 1))):
        assert set(largest(values, count).tolist()) == set(ordered[:count].tolist())


@pytest.mark.parametrize("values", [np.zeros(5000), np.repeat([1.0, 0.0, -np.inf], 1700), np.arange(5000) // 100])
def test_the_largest_among_equals(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    for count in (1, 7, 78, 3000):
        found = largest(values, count)
        assert len(set(found.tolist())) == count
        np.testing.assert_array_equal(np.sort(values[found])[::-1], np.sort(values)[::-1][:count])


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("size", [1, 10, 1500, 20_000])
def test_the_nucleus(size: int, spread: float) -> None:
    """Flat ones need more than the first guess, and at last everything."""
    values = _logits(size, spread)
    weights = np.exp(values.astype(np.float64))
    shares = np.sort(weights)[::-1].cumsum() / weights.sum()
    for top_p in (1e-9, 0.3, 0.9, 0.999):
        found = nucleus(values, top_p)
        assert (np.diff(values[found]) <= 0).all()
        assert len(set(found.tolist())) == len(found)
        assert abs(len(found) - (np.searchsorted(shares, top_p) + 1)) <= 1 + 1e-4 * size
        assert weights[found].sum() >= (top_p - 1e-5) * weights.sum()


@pytest.mark.parametrize("size", [1, 5, 256, 257, 3000])
def test_drawing_is_the_inverse_of_the_cumulative_sum(size: int) -> None:
    weights = np.random.default_rng(1).random(size).astype(np.float32) ** 4
    cumulative = weights.cumsum(dtype=np.float64) / weights.sum(dtype=np.float64)
    for uniform in np.random.default_rng(2).random(200):
        drawn = draw(weights, uniform)
        low, high = cumulative[drawn] - weights[drawn] / weights.sum(dtype=np.float64), cumulative[drawn]
        assert low - 1e-6 <= uniform <= high + 1e-6


@pytest.mark.parametrize("only", [0, 255, 256, 700, 999])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_what_has_no_weight_is_never_drawn(only: int, uniform: float) -> None:
    weights = np.zeros(1000, np.float32)
    weights[only] = 1e-30
    assert draw(weights, uniform) == only
