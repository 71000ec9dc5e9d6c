"""Operators on rows of activations: norms and gated units."""

import torch
from torch import Tensor

from sharkpack.templates.lowering.operators import GATED, RMS_NORM
from sharkpack.templates.ops.define import operator


@operator(RMS_NORM)
def rms_norm(x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    """x / sqrt(mean(x^2) + epsilon) * weight (+ residual), over each `len(weight)` values of a row of x."""
    heads = x.reshape(x.shape[0], -1, weight.shape[0])
    y = (heads * torch.rsqrt(heads.square().mean(-1, keepdim=True) + epsilon) * weight).reshape(x.shape)
    return y if residual is None else y + residual


@operator(GATED)
def gated(gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """silu(gate) * up; gelu(gate) * up in its tanh form; or gelu_f16: gelu from float16 to float16, as ggml's table."""
    if activation == "silu":
        return torch.nn.functional.silu(gate) * up
    if activation == "gelu":
        return torch.nn.functional.gelu(gate, approximate="tanh") * up
    return torch.nn.functional.gelu(gate.half().float(), approximate="tanh").half().float() * up
