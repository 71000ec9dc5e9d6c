"""Operators of a mixture of experts: choose some for each row, multiply it by the weights of those alone."""

import torch
from torch import Tensor

from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.ops.namespace import NAMESPACE
from sharkpack.templates.ops.products import matmul_float32, matmul_int8


@torch.library.custom_op(f"{NAMESPACE}::route", mutates_args=())
def route(logits: Tensor, top_k: int, normalise: bool) -> tuple[Tensor, Tensor]:
    """The `top_k` largest of each row of logits [rows, experts], as (expert [rows, top_k] i64, weight [rows, top_k]).

    Weights are probabilities of the softmax over all experts; `normalise` makes those of the chosen sum to 1.
    """
    weights, chosen = torch.topk(torch.softmax(logits, -1), top_k, dim=-1)
    return chosen, weights / weights.sum(-1, keepdim=True) if normalise else weights


@route.register_fake
def _(logits: Tensor, top_k: int, normalise: bool) -> tuple[Tensor, Tensor]:
    shape = (logits.shape[0], top_k)
    return logits.new_empty(shape, dtype=torch.int64), logits.new_empty(shape)


@torch.library.custom_op(f"{NAMESPACE}::expert_matmul_float32", mutates_args=())
def expert_matmul_float32(
    x: Tensor, chosen: Tensor, weight: Tensor, layout: str, experts: int, n: int, k: int
) -> Tensor:
    """For each row and each of its chosen experts [rows, top_k]: x times that expert's [n, k], transposed.

    x [rows, k], or [rows, top_k * k]: k values for each choice. weight: packed, [experts * n, k]. -> [rows, top_k * n]
    """
    given = _each_choice(x, chosen, k)
    y = x.new_empty((*chosen.shape, n))
    for expert in set(chosen.flatten().tolist()):
        at = chosen == expert
        y[at] = matmul_float32(given[at], _of_expert(weight, experts, expert), None, None, layout, n, k)
    return y.reshape(x.shape[0], -1)


@expert_matmul_float32.register_fake
def _(x: Tensor, chosen: Tensor, weight: Tensor, layout: str, experts: int, n: int, k: int) -> Tensor:
    return x.new_empty((x.shape[0], chosen.shape[1] * n))


@torch.library.custom_op(f"{NAMESPACE}::expert_matmul_int8", mutates_args=())
def expert_matmul_int8(
    codes: Tensor, scales: Tensor, chosen: Tensor, weight: Tensor, layout: str, experts: int, n: int, k: int
) -> Tensor:
    """As expert_matmul_float32 for activations as `quantize` makes them."""
    given, given_scales = _each_choice(codes, chosen, k), _each_choice(scales.flatten(1), chosen, SIZE * k // 32)
    y = scales.new_empty((*chosen.shape, n))
    for expert in set(chosen.flatten().tolist()):
        at, own = chosen == expert, _of_expert(weight, experts, expert)
        own_scales = given_scales[at].reshape(-1, k // 32, SIZE)
        y[at] = matmul_int8(given[at], own_scales, None, None, own, None, None, layout, n, k)
    return y.reshape(codes.shape[0], -1)


@expert_matmul_int8.register_fake
def _(
    codes: Tensor, scales: Tensor, chosen: Tensor, weight: Tensor, layout: str, experts: int, n: int, k: int
) -> Tensor:
    return scales.new_empty((codes.shape[0], chosen.shape[1] * n))


def _each_choice(x: Tensor, chosen: Tensor, k: int) -> Tensor:
    """[rows, top_k, k] of x, which has k values a row or k a choice."""
    return x.reshape(x.shape[0], -1, k).expand(-1, chosen.shape[1], -1)


def _of_expert(weight: Tensor, experts: int, expert: int) -> Tensor:
    each = weight.shape[0] // experts
    return weight[expert * each : (expert + 1) * each]
