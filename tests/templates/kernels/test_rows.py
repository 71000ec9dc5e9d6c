"""Norms, gated units and quantisation in a row, against the eager operators in float64."""

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sharkpack.templates import ops
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.rows import Output, gated, quantize_rows, rms_norm
from sharkpack.templates.ops.rounding import quantize
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.kernels.beside_blocks import check_beside_blocks
from tests.templates.weights import error

ISAS = pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
OUTPUTS: tuple[Output, ...] = ("float32", "int8", "int8_remainder")
ACTIVATIONS = ("silu", "gelu", "gelu_f16")
K, EPSILON = 96, 1e-5
ROWS = (1, 3, 4, 5, 9)  # a workgroup takes 4

NORMS = {output: rms_norm(K, EPSILON, output=output) for output in OUTPUTS}
NORM_AND_ADD = rms_norm(K, EPSILON, output="float32", residual=True)
HEAD_NORM = rms_norm(16, EPSILON, output="float32", heads=3)
GATES = {activation: gated(K, activation, output="float32") for activation in ACTIVATIONS}
GATES_INT8 = {activation: gated(K, activation, output="int8") for activation in ("silu", "gelu_f16")}
QUANTIZE, QUANTIZE_INT16 = quantize_rows(K), quantize_rows(K, remainder=True)


@cache
def _runner(isa: Isa) -> KernelRunner:
    kernels = [
        *NORMS.values(),
        NORM_AND_ADD,
        HEAD_NORM,
        *GATES.values(),
        *GATES_INT8.values(),
        QUANTIZE,
        QUANTIZE_INT16,
    ]
    return KernelRunner(kernels, isa)


def _random(rows: int, k: int = K, seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(rows, k, generator=torch.Generator().manual_seed(seed + rows))


def _units(codes: NDArray[np.int8], remainders: NDArray[np.int8] | None = None) -> NDArray[np.float64]:
    """Activations in steps of d."""
    return codes.astype(np.float64) + (0 if remainders is None else remainders.astype(np.float64) / 256)


def _check_quantized(made: list[np.ndarray], wanted: torch.Tensor) -> None:
    """Codes (and residual bytes) within what rounding may differ of `wanted` [rows, k], their scales and sums."""
    codes, scales = made[:2]
    remainders, fine_sums = made[2:] if len(made) == 4 else (None, None)
    expected = [t.numpy() for t in quantize(wanted)]
    d = np.repeat(expected[1][:, :, :2].reshape(len(codes), -1), 16, 1)
    assert codes.dtype == np.int8
    assert error(scales[:, :, :2], expected[1][:, :, :2]) < 1e-6
    step = 1.001 if remainders is None else 2 / 256
    exact = _units(expected[0]) if remainders is None else _units(expected[0], expected[2])
    assert np.abs(_units(codes, remainders) - exact).max() <= step
    assert (codes != expected[0]).mean() < 0.01
    assert np.abs(_units(codes, remainders) * d - wanted.numpy()).max() <= d.max() * (0.501 if step > 1 else 1.5 / 256)
    check_beside_blocks(codes, scales)
    if remainders is not None:
        fine = remainders.reshape(len(codes), -1, 2, 16).astype(np.float64).sum(-1) * scales[:, :, :2] / 256
        assert fine_sums is not None
        assert np.allclose(fine_sums, fine, rtol=1e-6, atol=0)


@ISAS
@pytest.mark.parametrize("rows", ROWS)
def test_norm(isa: Isa, rows: int) -> None:
    run, x, weight, residual = _runner(isa), _random(rows), _random(1, seed=50)[0], _random(rows, seed=99)
    wanted = ops.rms_norm(x.double(), weight.double(), None, EPSILON)
    assert error(run(NORMS["float32"], x, weight)[0], wanted) < 1e-6
    assert error(run(NORM_AND_ADD, x, weight, residual)[0], wanted + residual) < 1e-6
    for output in OUTPUTS[1:]:
        _check_quantized(run(NORMS[output], x, weight), wanted.float())


@ISAS
def test_norm_of_heads_and_of_small_rows(isa: Isa) -> None:
    """Each head of a row is normalised by itself; epsilon counts once values are small."""
    run, x, weight = _runner(isa), _random(5, 48), _random(1, 16)[0]
    each = torch.nn.functional.rms_norm(x.double().reshape(15, 16), (16,), weight.double(), EPSILON)
    assert error(run(HEAD_NORM, x, weight)[0], each.reshape(5, 48)) < 1e-6
    assert error(ops.rms_norm(x, weight, None, EPSILON), each.reshape(5, 48)) < 1e-6
    small = x * 1e-3
    wanted = ops.rms_norm(small.double(), weight.double(), None, EPSILON)
    assert error(ops.rms_norm(small, weight, None, 0.0), wanted) > 0.1
    assert error(run(HEAD_NORM, small, weight)[0], wanted) < 1e-6
    assert not run(HEAD_NORM, torch.zeros(2, 48), weight)[0].any()


@ISAS
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", ROWS[:3])
def test_gate(isa: Isa, rows: int, activation: str) -> None:
    run, gate, up = _runner(isa), 2 * _random(rows), _random(rows, seed=7)
    # The float16 form rounds twice: one value may land on the other side of a tie.
    tolerance, wide = (5e-4, gate) if activation == "gelu_f16" else (1e-6, gate.double())
    wanted = ops.gated(wide, up.to(wide.dtype), activation)
    assert error(run(GATES[activation], gate, up)[0], wanted) < tolerance
    if activation in GATES_INT8:
        made = run(GATES[activation], gate, up)[0]
        _check_quantized(run(GATES_INT8[activation], gate, up), torch.from_numpy(made))


@ISAS
def test_float16_gelu_is_what_the_table_holds(isa: Isa) -> None:
    """Rounded to float16 before and after: equal in all but a few values (more below -2, where tanh cancels)."""
    run, gate = _runner(isa), torch.linspace(-2, 6, 9 * K).reshape(9, K)
    up = torch.ones_like(gate)
    table = torch.nn.functional.gelu(gate.half().float(), approximate="tanh").half().float().numpy()
    assert (run(GATES["gelu_f16"], gate, up)[0] == table).mean() > 0.98
    assert (run(GATES["gelu"], gate, up)[0] == table).mean() < 0.5


@ISAS
@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_gate_far_from_zero(isa: Isa, activation: str) -> None:
    """Large gates pass or shut off; nothing overflows to NaN on the way."""
    sizes = torch.tensor([20.0, 88.0, 90.0, 1e3, 1e6, 1e15])
    gate = torch.cat([sizes, -sizes, torch.zeros(4)]).repeat(6)[None, :]
    (y,) = _runner(isa)(GATES[activation], gate, torch.ones_like(gate))
    # exp stops at 88.3: what should be 0 is x * 4e-39 at most.
    assert np.allclose(y, gate.clamp_min(0).numpy(), rtol=1e-6, atol=5e-8 if activation == "silu" else 1e-20 * 1e15)


@ISAS
@pytest.mark.parametrize("rows", ROWS)
def test_quantize(isa: Isa, rows: int) -> None:
    x = _random(rows)
    for kernel in (QUANTIZE, QUANTIZE_INT16):
        _check_quantized(_runner(isa)(kernel, x), x)


@ISAS
def test_quantize_of_zeros_and_of_extreme_sizes(isa: Isa) -> None:
    """Each half of 16 by itself: zeros and what is next to nothing have codes of zero, huge values the usual ones."""
    x = torch.zeros(1, K)
    x[0, 16:32], x[0, 32:48] = 1e30, 1e-38
    x[0, 48:64] = torch.linspace(-1e-20, 1e-20, 16)
    x[0, 64] = -5.0
    codes, scales = _runner(isa)(QUANTIZE, x)
    halves = codes.reshape(6, 16)
    assert not halves[0].any()
    assert (halves[1] == 127).all()
    assert not halves[2].any()
    assert (halves[3].min(), halves[3].max()) == (-127, 127)
    assert (halves[4][0], np.abs(halves[4][1:]).max()) == (-127, 0)
    check_beside_blocks(codes, scales)
    assert scales[0, 0, 0] == scales[0, 0, 2] == 0
    assert np.allclose(scales[0, 0, 1:4:2], [1e30 / 127, 16e30], rtol=1e-6)
    assert np.allclose(scales[0, 2, :4:2], [5 / 127, -5], rtol=1e-6)
