"""Operators on rows of activations: embedding, matmul, norm, gated unit."""

import math

from sharkpack.templates.lowering.generic.scalars import Scalar
from sharkpack.templates.lowering.generic.tensors import Tensor, Writer
from sharkpack.templates.lowering.generic.weights import PackedWeight


def embedding(w: Writer, tokens: Tensor, weight: PackedWeight) -> Tensor:
    """Looks up rows `tokens` [rows] of the table: [rows, k]."""
    return w.map((*tokens.sizes, weight.k), lambda row, k: weight[tokens[row].index, k])


def matmul(w: Writer, x: Tensor, weight: PackedWeight, bias: Tensor | None, residual: Tensor | None) -> Tensor:
    """Multiplies x [rows, k] by the weight [n, k], transposed, and adds bias [n] and residual [rows, n]."""
    sizes = (x.sizes[0], weight.n)
    y = w.sum(sizes, weight.k, lambda row, n, k: x[row, k] * weight[n, k])
    if bias is None and residual is None:
        return y

    def added(row: Scalar, n: Scalar) -> Scalar:
        value = y[row, n] if bias is None else y[row, n] + bias[n]
        return value if residual is None else value + residual[row, n]

    return w.map(sizes, added)


def rms_norm(w: Writer, x: Tensor, weight: Tensor, residual: Tensor | None, epsilon: float) -> Tensor:
    """Normalises each `len(weight)` values of a row of x [rows, width]: [rows, width] (+ residual)."""
    size, heads = weight.width, x.width // weight.width

    def square(row: Scalar, head: Scalar, k: Scalar) -> Scalar:
        value = x[row, head * size + k]
        return value * value

    squares = w.sum((x.sizes[0], heads), size, square)

    def normed(row: Scalar, at: Scalar) -> Scalar:
        mean = squares[row, at // size] * (1.0 / size)
        y = x[row, at] * (mean + epsilon).math("rsqrt") * weight[at % size]
        return y if residual is None else y + residual[row, at]

    return w.map(x.sizes, normed)


def gated(w: Writer, gate: Tensor, up: Tensor, activation: str) -> Tensor:
    """Returns activation(gate) * up, all [rows, k]; gelu has its tanh form, gelu_f16 takes and gives float16."""

    def unit(row: Scalar, k: Scalar) -> Scalar:
        value = gate[row, k]
        if activation == "silu":
            return value / ((-value).math("exp") + 1.0) * up[row, k]
        if activation == "gelu":
            return _gelu(value) * up[row, k]
        return _float16(_gelu(_float16(value))) * up[row, k]

    return w.map(gate.sizes, unit)


def _gelu(x: Scalar) -> Scalar:
    inner = (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)
    return x * 0.5 * (inner.math("tanh") + 1.0)


def _float16(x: Scalar) -> Scalar:
    return x.cast("arith.truncf", "f16").float
