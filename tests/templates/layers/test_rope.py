"""Angles against float64, every scaling against its definition, and the reordering of sources that pair neighbours."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.layers.recipe import WeightTable
from sharkpack.templates.layers.rope import Rope, neighbours_to_halves, plain_frequencies, row_order, scaled_frequencies
from sharkpack.templates.layers.source import TensorInfo


@dataclass
class FakeSource:
    """A source of hyperparameters alone."""

    values: dict[str, Any] = field(default_factory=dict)
    kind: str = "fake"
    architecture: str = "llama"
    ggml_row_order: bool = True
    stored_name: Callable[[str], str] = str
    metadata: dict[str, Any] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)

    def integer(self, key: str, default: int | None = None) -> int:
        return int(self._get(key, default))

    def floating(self, key: str, default: float | None = None) -> float:
        return float(self._get(key, default))

    def text(self, key: str, default: str | None = None) -> str:
        return str(self._get(key, default))

    def boolean(self, key: str, default: bool | None = None) -> bool:
        return bool(self._get(key, default))

    def _get(self, key: str, default: object) -> Any:
        found = self.values.get(key, default)
        assert found is not None, key
        return found


def _rope(context: int, rope_dim: int = 64, theta: float = 1e4, magnitude: float = 1.0) -> Rope:
    return Rope(WeightTable(FakeSource()), "all", (plain_frequencies(theta, rope_dim), magnitude), context)


@pytest.mark.parametrize("theta", [1e4, 1e6])
def test_angles_are_exact_to_float32_at_any_position(theta: float) -> None:
    """The two tables are made in float64: unlike cos of a float32 angle, whose error grows with the position."""
    rope = _rope(131072, theta=theta)
    positions = torch.cat([torch.arange(300), torch.arange(0, 131072, 97), torch.tensor([131071])])
    angles = positions.double()[:, None] * torch.from_numpy(plain_frequencies(theta, 64))
    wanted = torch.cat([angles.cos(), angles.sin()], 1)
    assert (rope(positions).double() - wanted).abs().max() < 3e-7
    naive = torch.cat([angles.float().cos(), angles.float().sin()], 1)
    assert (naive.double() - wanted).abs().max() > 1e-3


def test_tables_are_small_and_declared() -> None:
    table = WeightTable(FakeSource())
    Rope(table, "full", (plain_frequencies(1e4, 64), 1.0), 2000)
    assert {name: weight.nbytes for name, weight in table.weights.items()} == {
        "rope.full.coarse": 32 * 64 * 4,
        "rope.full.fine": 64 * 64 * 4,
    }


def test_magnitude_scales_both() -> None:
    positions = torch.tensor([0, 5, 64, 199])
    assert torch.allclose(_rope(200, magnitude=1.5)(positions), 1.5 * _rope(200)(positions), atol=1e-6)


def test_rotated_dimensions_are_filled_up_to_whole_vectors() -> None:
    """With angles of zero; unless a factor on cosines would reach dimensions that are to pass as they are."""
    angles = _rope(64, rope_dim=24)(torch.tensor([5, 63]))
    assert angles.shape == (2, 32)
    plain = torch.tensor([5.0, 63.0])[:, None] * torch.from_numpy(plain_frequencies(1e4, 24)).float()
    assert torch.allclose(angles[:, :12], plain.cos(), atol=1e-5)
    assert torch.allclose(angles[:, 16:28], plain.sin(), atol=1e-5)
    assert angles[:, 12:16].eq(1).all()
    assert not angles[:, 28:].any()
    with pytest.raises(SharkpackError, match=r"rope\.dimension_count is 24; the kernels need a multiple of 32"):
        _rope(64, rope_dim=24, magnitude=1.1)


@pytest.mark.parametrize("neighbours", [False, True])
def test_rows_of_partial_rotation(neighbours: bool) -> None:
    """Rotated pairs and dimensions that pass fill both halves; each row of the source is there once."""
    order = row_order(2, 48, 20, neighbours=neighbours)
    assert order is not None
    first, second = order.reshape(2, 48)
    assert (second == first + 48).all()
    assert sorted(first) == list(range(48))
    pairs = list(zip(first[:10], first[16:26], strict=True))
    assert pairs == ([(2 * i, 2 * i + 1) for i in range(10)] if neighbours else [(i, i + 10) for i in range(10)])
    assert (np.delete(first, [*range(10), *range(16, 26)]) == range(20, 48)).all()


def test_rows_that_need_no_order() -> None:
    assert row_order(3, 64, 32, neighbours=False) is None
    order = row_order(3, 64, 32, neighbours=True)
    assert order is not None
    assert (order == neighbours_to_halves(3, 64, 32)).all()


def test_plain_frequencies() -> None:
    assert plain_frequencies(10000.0, 8) == pytest.approx([1, 0.1, 0.01, 0.001])


def test_linear_scaling_divides_the_frequencies() -> None:
    source = FakeSource({"rope.scaling.type": "linear", "rope.scaling.factor": 8.0})
    frequencies, magnitude = scaled_frequencies(source, 1e4, 64)
    assert frequencies == pytest.approx(plain_frequencies(1e4, 64) / 8)
    assert magnitude == 1.0


def test_no_scaling_and_factors_of_a_tensor() -> None:
    plain = plain_frequencies(5e5, 64)
    assert scaled_frequencies(FakeSource(), 5e5, 64)[0] == pytest.approx(plain)
    factors = np.linspace(1, 32, 32).astype(np.float32)
    for source in (FakeSource(), FakeSource({"rope.scaling.type": "none"})):
        assert scaled_frequencies(source, 5e5, 64, factors)[0] == pytest.approx(plain / factors)


def test_yarn_interpolates_low_frequencies_only() -> None:
    """The ramp of llama.cpp's rope_yarn over dimension pairs, from beta_fast to beta_slow rotations."""
    source = FakeSource(
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0, "rope.scaling.original_context_length": 32768}
    )
    frequencies, magnitude = scaled_frequencies(source, 1e6, 128)
    plain = plain_frequencies(1e6, 128)
    low = math.floor(128 * math.log(32768 / (32 * 2 * math.pi)) / (2 * math.log(1e6)))
    high = math.ceil(128 * math.log(32768 / (2 * math.pi)) / (2 * math.log(1e6)))
    assert (low, high) == (23, 40)
    assert frequencies[: low + 1] == pytest.approx(plain[: low + 1])
    assert frequencies[high:] == pytest.approx(plain[high:] / 4)
    middle = 1 - (30 - low) / (high - low)
    assert frequencies[30] == pytest.approx(plain[30] / 4 * (1 - middle) + plain[30] * middle)
    assert magnitude == pytest.approx(1 + 0.1 * math.log(4))


def test_yarn_takes_its_parameters_from_the_file() -> None:
    values = {"type": "yarn", "factor": 2.0, "original_context_length": 4096, "attn_factor": 0.5}
    given = {f"rope.scaling.{key}": value for key, value in values.items()}
    frequencies, magnitude = scaled_frequencies(FakeSource(given), 1e4, 64)
    assert magnitude == pytest.approx(0.5 * (1 + 0.1 * math.log(2)))
    betas = {"rope.scaling.yarn_beta_fast": 8.0, "rope.scaling.yarn_beta_slow": 4.0}
    other, _ = scaled_frequencies(FakeSource(given | betas), 1e4, 64)
    assert not np.allclose(frequencies, other)


def test_an_unknown_scaling_is_refused_by_name() -> None:
    with pytest.raises(SharkpackError) as error:
        scaled_frequencies(FakeSource({"rope.scaling.type": "longrope"}), 1e4, 64)
    assert str(error.value) == (
        "rope scaling 'longrope' is not supported; supported: none, linear, yarn, rope_freqs tensor"
    )


@pytest.mark.parametrize(("heads", "head_dim", "rope_dim"), [(3, 8, 8), (2, 16, 8), (1, 64, 64)])
def test_reordered_rows_rotate_by_halves_as_the_originals_do_by_neighbours(
    heads: int, head_dim: int, rope_dim: int
) -> None:
    """q . k after either rotation is the same: all that attention sees."""
    order = neighbours_to_halves(heads, head_dim, rope_dim)
    assert sorted(order) == list(range(heads * head_dim))
    random = np.random.default_rng(0)
    frequencies = plain_frequencies(1e4, rope_dim)

    def neighbours(x: np.ndarray, position: int) -> np.ndarray:
        x = x.reshape(heads, head_dim).copy()
        turned = (x[:, 0:rope_dim:2] + 1j * x[:, 1:rope_dim:2]) * np.exp(1j * position * frequencies)
        x[:, 0:rope_dim:2], x[:, 1:rope_dim:2] = turned.real, turned.imag
        return x

    def halves(x: np.ndarray, position: int) -> np.ndarray:
        x, half = x.reshape(heads, head_dim).copy(), rope_dim // 2
        turned = (x[:, :half] + 1j * x[:, half:rope_dim]) * np.exp(1j * position * frequencies)
        x[:, :half], x[:, half:rope_dim] = turned.real, turned.imag
        return x

    q, k = random.standard_normal((2, heads * head_dim))
    wanted = (neighbours(q, 11) * neighbours(k, 5)).sum(1)
    assert (halves(q[order], 11) * halves(k[order], 5)).sum(1) == pytest.approx(wanted)
    assert (halves(q, 11) * halves(k, 5)).sum(1) != pytest.approx(wanted)
