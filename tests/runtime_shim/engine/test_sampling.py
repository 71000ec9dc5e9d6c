"""Sampling: which tokens may come, how often, and which values are refused."""

import math

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.engine.sampling import Logits, Sampler, Sampling, draw, top_k, top_p

PROBABILITIES = np.array([0.5, 0.25, 0.15, 0.07, 0.03])
LOGITS: Logits = np.log(PROBABILITIES).astype(np.float32)


def _frequencies(sampling: Sampling, logits: Logits = LOGITS, draws: int = 20_000) -> np.ndarray:
    sampler = Sampler(sampling)
    tokens = [sampler.choose(logits, []) for _ in range(draws)]
    return np.bincount(tokens, minlength=len(logits)) / draws


def test_greedy_takes_the_argmax_and_the_first_of_equals() -> None:
    assert Sampler(Sampling()).choose(LOGITS, []) == 0
    assert Sampler(Sampling()).choose(np.zeros(5, np.float32), []) == 0


def test_temperature_one_follows_the_probabilities() -> None:
    np.testing.assert_allclose(_frequencies(Sampling(temperature=1.0, seed=1)), PROBABILITIES, atol=0.012)


def test_temperature_sharpens() -> None:
    expected = PROBABILITIES**2 / (PROBABILITIES**2).sum()
    np.testing.assert_allclose(_frequencies(Sampling(temperature=0.5, seed=1)), expected, atol=0.012)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(temperature=1.0, seed=3, top_k=2), [0, 1]),
        (Sampling(temperature=1.0, seed=3, top_k=99), [0, 1, 2, 3, 4]),
        (Sampling(temperature=1.0, seed=3, top_p=0.5), [0]),
        (Sampling(temperature=1.0, seed=3, top_p=0.6), [0, 1]),
        (Sampling(temperature=1.0, seed=3, top_p=0.95), [0, 1, 2, 3]),
        (Sampling(temperature=1.0, seed=3, min_p=0.2), [0, 1, 2]),
        (Sampling(temperature=1.0, seed=3, top_k=3, top_p=0.6), [0, 1]),  # of what top-k left: 0.56, 0.28, 0.17
        (Sampling(temperature=100.0, seed=3, top_p=1e-9), [0]),
    ],
)
def test_filters_keep_and_renormalise(sampling: Sampling, kept: list[int]) -> None:
    found = _frequencies(sampling, draws=4000)
    assert np.flatnonzero(found).tolist() == kept
    if sampling.temperature == 1.0:
        np.testing.assert_allclose(found[kept], PROBABILITIES[kept] / PROBABILITIES[kept].sum(), atol=0.03)


def test_the_nucleus_is_the_same_with_many_tokens() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 50_000).astype(np.float32)
    weights = np.exp(logits.astype(np.float64))
    order = np.argsort(-logits)
    for share in (0.3, 0.9, 0.999):
        count = int((weights[order].cumsum() / weights.sum()).searchsorted(share)) + 1
        sampler = Sampler(Sampling(temperature=3.0, top_p=share, seed=0))
        assert {sampler.choose(logits, []) for _ in range(30)} <= set(order[:count].tolist())


@pytest.mark.parametrize("temperature", [1e-300, 1e-37, 1e-5])
def test_next_to_no_temperature_takes_the_argmax(temperature: float) -> None:
    logits = np.array([-1e9, 2.0, 2.5, -math.inf], np.float32)
    sampler = Sampler(Sampling(temperature=temperature, seed=0))
    assert {sampler.choose(logits, []) for _ in range(20)} == {2}


def test_a_seed_gives_the_same_tokens_and_another_seed_others() -> None:
    def draw(seed: int) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed))
        return [sampler.choose(LOGITS, []) for _ in range(50)]

    assert draw(4) == draw(4)
    assert draw(4) != draw(5)


def test_repeat_penalty_reaches_the_window_and_leaves_the_row_alone() -> None:
    logits = np.array([2.0, 1.5, -1.0], np.float32)
    before = logits.copy()
    sampler = Sampler(Sampling(repeat_penalty=2.0, repeat_window=2))
    assert sampler.choose(logits, [0]) == 1
    assert sampler.choose(logits, [0, 1, 0, 0]) == 1
    assert sampler.choose(logits, [0, 2, 2]) == 0  # too long ago
    np.testing.assert_array_equal(logits, before)
    assert Sampler(Sampling(repeat_penalty=8.0)).choose(np.array([-1.0, -2.0], np.float32), [0]) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_an_error(bad: float, temperature: float) -> None:
    with pytest.raises(SharkpackError, match="not finite"):
        Sampler(Sampling(temperature=temperature, seed=0)).choose(np.array([0, bad, 1], np.float32), [])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", -0.1, "temperature is -0.1: expected 0 or more"),
        ("temperature", math.nan, "temperature is nan: expected 0 or more"),
        ("temperature", math.inf, "temperature is inf: expected 0 or more"),
        ("top_k", -1, "top-k is -1: expected 0 or more"),
        ("top_p", 0.0, "top-p is 0.0: expected above 0 and at most 1"),
        ("top_p", 1.5, "top-p is 1.5: expected above 0 and at most 1"),
        ("min_p", 1.1, "min-p is 1.1: expected from 0 to 1"),
        ("repeat_penalty", 0.0, "repeat-penalty is 0.0: expected above 0 (1: none)"),
        ("repeat_window", -1, "repeat-window is -1: expected 0 or more"),
        ("seed", -1, "seed is -1: expected 0 or more"),
        ("seed", 1.5, "seed is 1.5: expected a whole number"),
        ("temperature", "1", "temperature is 1: expected 0 or more"),
    ],
)
def test_refuses_values_without_a_meaning(field: str, value: float, message: str) -> None:
    with pytest.raises(SharkpackError) as error:
        Sampling(**{field: value})  # type: ignore[arg-type]
    assert str(error.value) == message


def _random_logits(count: int, spread: float = 3.0, seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(0, spread, count).astype(np.float32)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 1000, 50_001])
def test_the_top_k(size: int) -> None:
    values = _random_logits(size)
    ordered = np.argsort(-values)
    for count in sorted({1, 2, 40, size // 64, size // 64 + 1, size // 2, size} & set(range(1, size + 1))):
        assert set(top_k(values, count).tolist()) == set(ordered[:count].tolist())


@pytest.mark.parametrize("values", [np.zeros(5000), np.repeat([1.0, 0.0, -np.inf], 1700), np.arange(5000) // 100])
def test_the_largest_among_equals(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    for count in (1, 7, 78, 3000):
        found = top_k(values, count)
        assert len(set(found.tolist())) == count
        np.testing.assert_array_equal(np.sort(values[found])[::-1], np.sort(values)[::-1][:count])


@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0, 20.0])
@pytest.mark.parametrize("size", [1, 10, 1500, 20_000])
def test_the_top_p(size: int, spread: float) -> None:
    """Flat ones need more than the first guess, and at last everything."""
    values = _random_logits(size, spread)
    weights = np.exp(values.astype(np.float64))
    shares = np.sort(weights)[::-1].cumsum() / weights.sum()
    for share in (1e-9, 0.3, 0.9, 0.999):
        found = top_p(values, share)
        assert (np.diff(values[found]) <= 0).all()
        assert len(set(found.tolist())) == len(found)
        assert abs(len(found) - (np.searchsorted(shares, share) + 1)) <= 1 + 1e-4 * size
        assert weights[found].sum() >= (share - 1e-5) * weights.sum()


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
