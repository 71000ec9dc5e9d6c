"""What the operators mean: quantised activations and their error, and that fused forms are the plain ones in a row."""

import pytest
import torch

from sharkpack.templates import ops
from sharkpack.templates.kernels.activation_block import LIFT
from sharkpack.templates.ops.paged_cache import PagedCache
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
    codes, scales = ops.quantize(x)
    assert codes.dtype == torch.int8
    assert codes[0, :5].tolist() == [127, 0, 2, -2, 0]
    assert codes[0, 16:19].tolist() == [-127, 2, 0]
    assert scales.tolist() == [[[1.0, 2.0, 127.0, -250.0, -LIFT, -2 * LIFT, -123.0, 0.0]]]


def test_scales_and_sums() -> None:
    x = _random(5, 96)
    codes, scales = ops.quantize(x)
    check_beside_blocks(codes.numpy(), scales.numpy())
    assert torch.allclose(scales[:, :, :2], _halves(x).abs().amax(-1) / 127, rtol=1e-6)
    assert _halves(codes.float()).abs().amax(-1).eq(127).all()


def test_errors_of_eight_and_of_sixteen_bits() -> None:
    """Half a step of d, and half a step of d / 256 (a whole one where a remainder of 128 is cut to 127)."""
    x, ones = _random(7, 128), torch.ones(128)
    normed = ops.rms_norm(x, ones, None, 1e-5)
    codes, scales, remainders, sums = ops.rms_norm_int16(x, ones, 1e-5)
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
    codes, scales, remainders, sums = ops.quantize_int16(x)
    assert not codes.any()
    assert not remainders.any()
    assert torch.isfinite(scales).all()
    assert not sums.any()


@pytest.mark.parametrize("activation", ["silu", "gelu", "gelu_f16"])
def test_fused_forms_are_the_plain_ones_in_a_row(activation: str) -> None:
    x, up, weight = _random(3, 64), _random(3, 64, 1), _random(1, 64, 2)[0]
    for fused, plain in (
        (ops.gated_int8(x, up, activation), ops.quantize(ops.gated(x, up, activation))),
        (ops.rms_norm_int8(x, weight, 1e-5), ops.quantize(ops.rms_norm(x, weight, None, 1e-5))),
        (ops.rms_norm_int16(x, weight, 1e-5)[:2], ops.rms_norm_int8(x, weight, 1e-5)),
    ):
        assert all(torch.equal(a, b) for a, b in zip(fused, plain, strict=True))


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


def test_products() -> None:
    """Float activations; 8 bits of them; 16: each closer to the exact product than the one after."""
    matrix, x = random_matrix("q4_k", 20, 512), ops.rms_norm(_random(3, 512), torch.ones(512), None, 0.0)
    bias, residual = _random(1, 20, 3)[0], _random(3, 20, 4)
    wanted = x.double().numpy() @ matrix.values.T + bias.numpy() + residual.numpy()
    codes, scales, remainders, sums = ops.quantize_int16(x)
    rest = (matrix.tensor, bias, residual, "q4_k", 20, 512)
    exact, sixteen, eight = (
        error(y, wanted)
        for y in (
            ops.matmul_float32(x, *rest),
            ops.matmul_int8(codes, scales, remainders, sums, *rest),
            ops.matmul_int8(codes, scales, None, None, *rest),
        )
    )
    assert exact < 2e-6 < sixteen < 1e-4 < eight < 1e-2


@pytest.mark.parametrize("rope_dim", [16, 32])
def test_rotation_pairs_halves(rope_dim: int) -> None:
    """Value i and value i + rope_dim / 2 are one complex number, turned by angle i; the rest of a head passes."""
    q, k, v = _random(1, 64), _random(1, 32, 1), _random(1, 32, 2)
    theta = torch.linspace(0.1, 3, rope_dim // 2)
    angles = torch.cat([theta.cos(), theta.sin()])[None]
    where = torch.tensor([[1]]), torch.tensor([0]), torch.tensor([1])
    flat = torch.zeros(2, 16 * 64)
    cache, rotated = ops.rope_and_store(q, k, v, angles, *where, flat, 0, 2, 16, 1, 1, 32, 32)
    keys, values = PagedCache(cache, 16, 1, 1, 32, 32).read(0, torch.tensor([1]), 1)
    half = rope_dim // 2
    for before, after in zip([*q.reshape(2, 32), k[0]], [*rotated.reshape(2, 32), keys[0, 0]], strict=True):
        turned = torch.complex(before[:half], before[half:rope_dim]) * torch.polar(torch.ones(half), theta)
        assert torch.allclose(after, torch.cat([turned.real, turned.imag, before[rope_dim:]]), atol=1e-6)
    assert torch.equal(values[0, 0], v[0])
    assert not flat.any()  # an operator leaves its arguments alone
