"""Operators on rows of activations: norms, gated units, quantisation."""

import torch
from torch import Tensor

from sharkpack.templates.kernels.activation_block import D_BITS, LIFT, SIZE
from sharkpack.templates.ops.namespace import NAMESPACE


def quantized_like(x: Tensor) -> tuple[Tensor, Tensor]:
    rows, k = x.shape
    return x.new_empty((rows, k), dtype=torch.int8), x.new_empty((rows, k // 32, SIZE))


def _quantized_int16_like(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    codes, scales = quantized_like(x)
    return codes, scales, torch.empty_like(codes), x.new_empty((x.shape[0], x.shape[1] // 32, 2))


def to_int16(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Codes and scales as `quantize`, and what rounding left as int8 codes [rows, k] of d / 256, with d / 256 times
    their sum in each half of 32, [rows, k/32, 2]."""
    halves = x.reshape(x.shape[0], -1, 2, 16)
    largest = halves.abs().amax(-1)
    d = ((largest * (1.0 / 127.0)).view(torch.int32) & D_BITS).view(torch.float32)
    exact = halves * (127.0 / largest.clamp_min(1e-30))[..., None]
    codes = torch.round(exact)
    left = torch.round((exact - codes) * 256.0).clamp_max(127.0)
    scales = _beside_blocks(d, codes.sum(-1) * d)
    return (
        codes.to(torch.int8).reshape(x.shape),
        scales,
        left.to(torch.int8).reshape(x.shape),
        left.sum(-1) * (d / 256.0),
    )


def _beside_blocks(d: Tensor, sums: Tensor) -> Tensor:
    """The eight float32 beside each block (kernels/activation_block.py) of both halves' scales and sums [.., 2]."""
    block_sums = sums.sum(-1, keepdim=True)
    return torch.cat([d, sums, d * -LIFT, block_sums, torch.zeros_like(block_sums)], -1)


@torch.library.custom_op(f"{NAMESPACE}::quantize_int16", mutates_args=())
def quantize_int16(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `quantize`, with the remainders that rounding left (int8, of d / 256) and their sums."""
    return to_int16(x)


@quantize_int16.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _quantized_int16_like(x)


@torch.library.custom_op(f"{NAMESPACE}::quantize", mutates_args=())
def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """x [rows, k] float32 as int8 codes [rows, k] and the eight float32 of kernels/activation_block.py for each 32.

    d = max|x| / 127 of 16 values, to 22 bits; codes are round-half-even(x / d).
    """
    return to_int16(x)[:2]


@quantize.register_fake
def _(x: Tensor) -> tuple[Tensor, Tensor]:
    return quantized_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight (+ residual), over each `len(weight)` values of a row of x."""
    heads = x.reshape(x.shape[0], -1, weight.shape[0])
    y = (heads * torch.rsqrt(heads.square().mean(-1, keepdim=True) + epsilon) * weight).reshape(x.shape)
    return y if residual is None else y + residual


@rms_norm.register_fake
def _(x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm_int8", mutates_args=())
def rms_norm_int8(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """quantize(rms_norm(x, weight))"""
    return to_int16(rms_norm(x, weight, None, epsilon))[:2]


@rms_norm_int8.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    return quantized_like(x)


@torch.library.custom_op(f"{NAMESPACE}::rms_norm_int16", mutates_args=())
def rms_norm_int16(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As rms_norm_int8, with the remainders that rounding left (int8, of d / 256) and their sums."""
    return to_int16(rms_norm(x, weight, None, epsilon))


@rms_norm_int16.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _quantized_int16_like(x)


@torch.library.custom_op(f"{NAMESPACE}::gated", mutates_args=())
def gated(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """silu(gate) * up; gelu(gate) * up in its tanh form; or gelu_f16: gelu from float16 to float16, as ggml's table."""
    if activation == "silu":
        return torch.nn.functional.silu(gate) * up
    if activation == "gelu":
        return torch.nn.functional.gelu(gate, approximate="tanh") * up
    return torch.nn.functional.gelu(gate.half().float(), approximate="tanh").half().float() * up


@gated.register_fake
def _(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    return torch.empty_like(gate)


@torch.library.custom_op(f"{NAMESPACE}::gated_int8", mutates_args=())
def gated_int8(gate: Tensor, up: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """quantize(gated(gate, up))"""
    return to_int16(gated(gate, up, activation))[:2]


@gated_int8.register_fake
def _(gate: Tensor, up: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    return quantized_like(gate)
