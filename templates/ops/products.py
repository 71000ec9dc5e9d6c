"""Operators that read packed weights: embedding and products."""

import torch
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS, unpack, unpack_rows
from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.ops.namespace import NAMESPACE
from sharkpack.templates.ops.rows import gated, to_int16


def _dense(weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    dense: Tensor = torch.from_numpy(unpack(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k)))
    return dense


@torch.library.custom_op(f"{NAMESPACE}::embedding", mutates_args=())
def embedding(tokens: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    """Rows `tokens` [rows] i64 of a packed [n, k] table, as [rows, k] float32."""
    return torch.from_numpy(unpack_rows(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k), tokens.numpy()))


@embedding.register_fake
def _(tokens: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    return weight.new_empty((tokens.shape[0], k), dtype=torch.float32)


@torch.library.custom_op(f"{NAMESPACE}::matmul_float32", mutates_args=())
def matmul_float32(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, layout: str, n: int, k: int
) -> Tensor:
    """x [rows, k] float32 times a packed [n, k] weight, transposed, plus bias [n] and residual [rows, n]."""
    y: Tensor = x @ _dense(weight, layout, n, k).T
    y = y if bias is None else y + bias
    return y if residual is None else y + residual


@matmul_float32.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, layout: str, n: int, k: int) -> Tensor:
    return x.new_empty((x.shape[0], n))


@torch.library.custom_op(f"{NAMESPACE}::matmul_int8", mutates_args=())
def matmul_int8(
    codes: Tensor,
    scales: Tensor,
    remainders: Tensor | None,
    remainder_sums: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    layout: str,
    n: int,
    k: int,
) -> Tensor:
    """As matmul_float32 for activations as `quantize` makes them; with remainders, to 16 bits instead of 8."""
    units = codes.float() if remainders is None else codes.float() + remainders.float() / 256.0
    x = (units.reshape(-1, k // 32, 2, 16) * scales[:, :, :2, None]).reshape(-1, k)
    y: Tensor = matmul_float32(x, weight, bias, residual, layout, n, k)
    return y


@matmul_int8.register_fake
def _(
    codes: Tensor,
    scales: Tensor,
    remainders: Tensor | None,
    remainder_sums: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    residual: Tensor | None,
    layout: str,
    n: int,
    k: int,
) -> Tensor:
    return scales.new_empty((codes.shape[0], n))


@torch.library.custom_op(f"{NAMESPACE}::qkv_int8", mutates_args=())
def qkv_int8(
    codes: Tensor,
    scales: Tensor,
    remainders: Tensor | None,
    remainder_sums: Tensor | None,
    weight_q: Tensor,
    weight_k: Tensor,
    weight_v: Tensor,
    bias_q: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    layout_q: str,
    layout_k: str,
    layout_v: str,
    fine_q: bool,
    fine_k: bool,
    fine_v: bool,
    n_q: int,
    n_kv: int,
    k: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """matmul_int8 of the same activations with three weights; those that are `fine` take the remainders."""
    parts = (
        (weight_q, bias_q, layout_q, fine_q, n_q),
        (weight_k, bias_k, layout_k, fine_k, n_kv),
        (weight_v, bias_v, layout_v, fine_v, n_kv),
    )
    q, keys, values = (
        matmul_int8(codes, scales, remainders if fine else None, remainder_sums, weight, bias, None, layout, n, k)
        for weight, bias, layout, fine, n in parts
    )
    return q, keys, values


@qkv_int8.register_fake
def _(  # type: ignore[no-untyped-def]
    codes, scales, remainders, remainder_sums, wq, wk, wv, bq, bk, bv, lq, lk, lv, fq, fk, fv, n_q, n_kv, k
):
    q, keys, values = (scales.new_empty((codes.shape[0], n)) for n in (n_q, n_kv, n_kv))
    return q, keys, values


@torch.library.custom_op(f"{NAMESPACE}::gated_matmul_int8", mutates_args=())
def gated_matmul_int8(
    x_codes: Tensor,
    x_scales: Tensor,
    gate: Tensor,
    up: Tensor,
    activation: str,
    gate_layout: str,
    up_layout: str,
    n: int,
    k: int,
) -> tuple[Tensor, Tensor]:
    """quantize(gated(x . gate^T, x . up^T)) of int8 activations [rows, k] and packed weights [n, k]."""
    made = [
        matmul_int8(x_codes, x_scales, None, None, weight, None, None, layout, n, k)
        for weight, layout in ((gate, gate_layout), (up, up_layout))
    ]
    return to_int16(gated(*made, activation))[:2]


@gated_matmul_int8.register_fake
def _(
    x_codes: Tensor,
    x_scales: Tensor,
    gate: Tensor,
    up: Tensor,
    activation: str,
    gate_layout: str,
    up_layout: str,
    n: int,
    k: int,
) -> tuple[Tensor, Tensor]:
    rows = x_codes.shape[0]
    return x_codes.new_empty((rows, n)), x_scales.new_empty((rows, n // 32, SIZE))
