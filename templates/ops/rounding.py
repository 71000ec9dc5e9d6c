"""Rounds activations as the kernels of CPUs do. Eager operators are exact unless `rounding_activations` is on."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.kernels.activation_block import D_BITS, LIFT

_ROUNDS: ContextVar[bool] = ContextVar("rounds_activations", default=False)


@contextmanager
def rounding_activations() -> Iterator[None]:
    """Have eager matmuls round their activations as kernels with int8 activations do."""
    token = _ROUNDS.set(True)
    try:
        yield
    finally:
        _ROUNDS.reset(token)


def rounded(x: Tensor, layout: str, rounding: str) -> Tensor:
    """x as a matmul takes it. Kernels round where rows are made: the values are the same."""
    if not _ROUNDS.get() or rounding == "exact" or LAYOUTS[layout].kind == "float":
        return x
    codes, scales, remainders, _ = quantize(x)
    return dequantize(codes, scales, remainders if rounding == "fine" else None)


def quantize(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x [rows, k] float32 as int8 codes [rows, k], the eight float32 of kernels/activation_block.py for each 32, and
    what rounding left: int8 codes [rows, k] of d / 256, d / 256 times their sum in each half of 32, [rows, k / 32, 2].

    d = max|x| / 127 of 16 values, to 22 bits; codes are round-half-even(x / d).
    """
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


def dequantize(codes: Tensor, scales: Tensor, remainders: Tensor | None) -> Tensor:
    """float32 [rows, k] of what `quantize` makes, to 8 bits or with the residual bytes to 16."""
    units = codes.float() if remainders is None else codes.float() + remainders.float() / 256.0
    return (units.reshape(len(codes), -1, 2, 16) * scales[:, :, :2, None]).reshape(codes.shape)


def _beside_blocks(d: Tensor, sums: Tensor) -> Tensor:
    """The eight float32 beside each block of both halves' scales and sums [.., 2]."""
    block_sums = sums.sum(-1, keepdim=True)
    return torch.cat([d, sums, d * -LIFT, block_sums, torch.zeros_like(block_sums)], -1)
