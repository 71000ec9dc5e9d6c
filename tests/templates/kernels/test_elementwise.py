"""exp and the sigmoid over their whole range, against float64; what becomes of infinities and NaN."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from sharkpack.templates.kernels.elementwise import exp, sigmoid_times
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here

ISAS = pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)


def _kernel(name: str, function: Callable[[Emitter, str], str]) -> Kernel:
    """y[rows, 16] = function(x[rows, 16])"""

    def body(e: Emitter) -> None:
        e.store(function(e, e.load("x", ["%group_x", "%origin"], F32)), "y", ["%group_x", "%origin"], F32)

    return Kernel(
        name=name,
        bindings=(
            Binding.of("x", "?x16xf32"),
            Binding.of("y", "?x16xf32", access="write"),
        ),
        dimensions={"rows": ("x", 0)},
        row_tile=1,
        body=body,
    )


EXP = _kernel("exp", exp)
SIGMOID = _kernel("sigmoid", lambda e, x: sigmoid_times(e, x, e.floats(1.0)))


@cache
def _runner(isa: Isa) -> KernelRunner:
    return KernelRunner([EXP, SIGMOID], isa)


def _apply(kernel: Kernel, isa: Isa, x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(the float32 that `x` becomes, what the kernel makes of them), both as float64."""
    narrow = x.astype(np.float32).reshape(-1, 16)
    return narrow.astype(np.float64).reshape(-1), _runner(isa)(kernel, narrow)[0].astype(np.float64).reshape(-1)


@ISAS
def test_exp_is_exact_to_float32(isa: Isa) -> None:
    x, y = _apply(EXP, isa, np.concatenate([np.linspace(-87.2, 88.2, 1 << 16), np.linspace(-1, 1, 1 << 14)]))
    assert np.abs(y / np.exp(x) - 1).max() < 3e-7


@ISAS
def test_exp_of_tiny_numbers_is_one(isa: Isa) -> None:
    x = np.concatenate([10.0 ** -np.arange(8, 40), -(10.0 ** -np.arange(8, 40)), np.zeros(16)])
    assert (_apply(EXP, isa, x)[1] == 1).all()


@ISAS
def test_exp_at_and_past_the_ends_of_float32(isa: Isa) -> None:
    """Clamped: next to nothing below (attention's masked scores), the largest finite above; NaN stays NaN."""
    _, y = _apply(EXP, isa, np.array([-87.5, -104, -1e30, -np.inf] * 2 + [88.5, 89, 1e30, np.inf] * 2))
    assert (y[:8] > 0).all()
    assert (y[:8] < 1.3e-38).all()
    assert np.isfinite(y[8:]).all()
    assert (y[8:] > 2e38).all()
    mixed = np.zeros(16)
    mixed[3] = np.nan
    _, y = _apply(EXP, isa, mixed)
    assert np.isnan(y[3])
    assert (np.delete(y, 3) == 1).all()


@ISAS
def test_sigmoid(isa: Isa) -> None:
    x, y = _apply(SIGMOID, isa, np.linspace(-80, 80, 1 << 14))
    assert np.abs(y * (1 + np.exp(-x)) - 1).max() < 5e-7
    _, y = _apply(SIGMOID, isa, np.array([-np.inf, -1e30, -200, -100] * 2 + [np.inf, 1e30, 200, 100] * 2))
    assert (y[:8] >= 0).all()
    assert (y[:8] < 1e-37).all()
    assert (y[8:] == 1).all()
    _, y = _apply(SIGMOID, isa, np.full(16, np.nan))
    assert np.isnan(y).all()
