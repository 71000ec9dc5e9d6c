"""The meaning of the operators, and how activations are rounded where kernels are followed."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sharkpack.templates import ops
from sharkpack.templates.kernels.activation_block import LIFT
from sharkpack.templates.lowering.operators import OPERATORS
from sharkpack.templates.ops.attention import rope_and_store
from sharkpack.templates.ops.paged_cache import PagedCache
from sharkpack.templates.ops.rounding import quantize
from tests.templates.kernels.beside_blocks import check_beside_blocks
from tests.templates.weights import error, random_matrix


def _random(rows: int, k: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(rows, k, generator=torch.Generator().manual_seed(seed))


def _halves(x: torch.Tensor) -> torch.Tensor:
    """[rows, k] -> [rows, k / 32, 2, 16]"""
    return x.reshape(x.shape[0], -1, 2, 16)


def test_quantize_by_hand() -> None:
    """d = largest / 127 of each 16; codes round half to even; the sums are d times those of the codes."""
    x = torch.zeros(1, 32)
    x[0, :4] = torch.tensor([127.0, 0.5, 1.5, -2.5])
    x[0, 16:18] = torch.tensor([-254.0, 3.0])
    codes, scales = quantize(x)[:2]
    assert codes.dtype == torch.int8
    assert codes[0, :5].tolist() == [127, 0, 2, -2, 0]
    assert codes[0, 16:19].tolist() == [-127, 2, 0]
    assert scales.tolist() == [[[1.0, 2.0, 127.0, -250.0, -LIFT, -2 * LIFT, -123.0, 0.0]]]


def test_scales_and_sums() -> None:
    x = _random(5, 96)
    codes, scales = quantize(x)[:2]
    check_beside_blocks(codes.numpy(), scales.numpy())
    assert torch.allclose(scales[:, :, :2], _halves(x).abs().amax(-1) / 127, rtol=1e-6)
    assert _halves(codes.float()).abs().amax(-1).eq(127).all()


def test_errors_of_eight_and_of_sixteen_bits() -> None:
    """Half a step of d, and half a step of d / 256 (a whole one where a remainder of 128 is cut to 127)."""
    x, ones = _random(7, 128), torch.ones(128)
    normed = ops.rms_norm(x, ones, None, 1e-5)
    codes, scales, remainders, sums = quantize(normed)
    d = scales[:, :, :2, None].double()
    coarse = _halves(codes.double()) * d
    fine = coarse + _halves(remainders.double()) / 256 * d
    exact = _halves(normed.double())
    assert ((coarse - exact).abs() <= 0.5001 * d).all()
    assert ((coarse - exact).abs() > 0.4 * d).any()
    assert remainders.dtype == torch.int8
    assert ((fine - exact).abs() <= 1.01 * d / 256).all()
    assert ((fine - exact).abs() <= 0.51 * d / 256).float().mean() > 0.98
    assert torch.allclose(sums, (_halves(remainders.double()) / 256 * d).sum(-1).float(), rtol=1e-5, atol=1e-7)


def test_zeros_and_tiny_numbers_have_codes_of_zero() -> None:
    x = torch.zeros(1, 32)
    x[0, 20] = 1e-38
    codes, scales, remainders, sums = quantize(x)
    assert not codes.any()
    assert not remainders.any()
    assert torch.isfinite(scales).all()
    assert not sums.any()


def test_norm_is_the_frameworks() -> None:
    x, weight, residual = _random(4, 48), _random(1, 48, 1)[0], _random(4, 48, 2)
    wanted = torch.nn.functional.rms_norm(x.double(), (48,), weight.double(), 1e-5)
    assert error(ops.rms_norm(x, weight, None, 1e-5), wanted) < 1e-6
    assert error(ops.rms_norm(x, weight, residual, 1e-5), wanted + residual) < 1e-6


def test_activations_are_the_frameworks() -> None:
    gate, up = _random(4, 48), _random(4, 48, 1)
    assert torch.equal(ops.gated(gate, up, "silu"), torch.nn.functional.silu(gate) * up)
    gelu = torch.nn.functional.gelu(gate.double(), approximate="tanh") * up
    assert error(ops.gated(gate, up, "gelu"), gelu) < 1e-6
    assert 1e-6 < error(ops.gated(gate, up, "gelu_f16"), gelu) < 1e-3


def test_rounding_of_activations() -> None:
    """Exact, unless kernels are to be followed: then 16 bits, or 8; floats and what must be exact are left alone."""
    matrix, x = random_matrix("q4_k", 20, 512), ops.rms_norm(_random(3, 512), torch.ones(512), None, 0.0)
    bias, residual = _random(1, 20, 3)[0], _random(3, 20, 4)
    wanted = x.double().numpy() @ matrix.values.T + bias.numpy() + residual.numpy()

    def off(rounding: str) -> float:
        return error(ops.matmul(x, matrix.tensor, bias, residual, "q4_k", 20, 512, rounding), wanted)

    assert max(off(rounding) for rounding in ("plain", "fine", "exact")) < 2e-6
    with ops.rounding_activations():
        assert off("exact") < 2e-6 < off("fine") < 1e-4 < off("plain") < 1e-2
        floats = random_matrix("f32", 20, 512)
        exact = x.double().numpy() @ floats.values.T
        assert error(ops.matmul(x, floats.tensor, None, None, "f32", 20, 512, "plain"), exact) < 2e-6
    assert off("plain") < 2e-6


def test_what_a_trace_makes_of_calls_is_what_they_return() -> None:
    """Shapes and types of the declarations, on tensors without values."""
    x, weight = _random(3, 64), random_matrix("q8_0", 32, 64).tensor
    experts = random_matrix("q8_0", 4 * 32, 64).tensor
    chosen = torch.tensor([[0, 3], [1, 2], [3, 1]])
    cache, where = torch.zeros(2, 16 * 64), (torch.tensor([[1]] * 3), torch.zeros(3).long(), torch.ones(3).long())
    sizes = (0, 2, 0.2, 0, 16, 1, 1, 32, 32, 0.0, 1e-5, True)
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (ops.embedding, (torch.tensor([1, 2]), weight, "q8_0", 32, 64)),
        (ops.matmul, (x, weight, None, None, "q8_0", 32, 64, "plain")),
        (ops.rms_norm, (x, torch.ones(64), None, 1e-5)),
        (ops.gated, (x, x, "silu")),
        (ops.route, (x, 2, True)),
        (ops.expert_matmul, (x, chosen, experts, "q8_0", 4, 32, 64)),
        (ops.attend, (x, x[:, :32], x[:, 32:], torch.ones(3, 32), None, None, *where, cache, *sizes)),
    ]
    assert len(calls) == len(OPERATORS)
    for operator, arguments in calls:
        found = operator(*arguments)
        empty = operator(*(each.to("meta") if isinstance(each, torch.Tensor) else each for each in arguments))
        both = ((each,) if isinstance(each, torch.Tensor) else each for each in (found, empty))
        for one, other in zip(*both, strict=True):
            assert (one.shape, one.dtype) == (other.shape, other.dtype), operator


@pytest.mark.parametrize("rope_dim", [16, 32])
def test_rotation_pairs_halves(rope_dim: int) -> None:
    """Value i and value i + rope_dim / 2 are one complex number, turned by angle i; the rest of a head passes."""
    q, k, v = _random(1, 64), _random(1, 32, 1), _random(1, 32, 2)
    theta = torch.linspace(0.1, 3, rope_dim // 2)
    angles = torch.cat([theta.cos(), theta.sin()])[None]
    where = torch.tensor([[1]]), torch.tensor([0]), torch.tensor([1])
    flat = torch.zeros(2, 16 * 64)
    cache, rotated = rope_and_store(q, k, v, angles, *where, flat, 0, 2, 16, 1, 1, 32, 32)
    keys, values = PagedCache(cache, 16, 1, 1, 32, 32).read(0, torch.tensor([1]), 1)
    half = rope_dim // 2
    for before, after in zip([*q.reshape(2, 32), k[0]], [*rotated.reshape(2, 32), keys[0, 0]], strict=True):
        turned = torch.complex(before[:half], before[half:rope_dim]) * torch.polar(torch.ones(half), theta)
        assert torch.allclose(after, torch.cat([turned.real, turned.imag, before[rope_dim:]]), atol=1e-6)
    assert torch.equal(values[0, 0], v[0])
    assert not flat.any()  # an operator leaves its arguments alone
