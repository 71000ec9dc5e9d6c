"""Operators of a mixture of experts: choose some for each row, multiply it by the weights of those alone."""

import torch
from torch import Tensor

from sharkpack.templates.lowering.operators import EXPERT_MATMUL, ROUTE
from sharkpack.templates.ops.define import operator
from sharkpack.templates.ops.matmul import times
from sharkpack.templates.ops.rounding import rounded


@operator(ROUTE)
def route(logits: Tensor, top_k: int, normalise: bool) -> tuple[Tensor, Tensor]:
    """The `top_k` largest of each row of logits [rows, experts], as (expert [rows, top_k] i64, weight [rows, top_k]).

    Weights are probabilities of the softmax over all experts; `normalise` makes those of the chosen sum to 1.
    """
    weights, chosen = torch.topk(torch.softmax(logits, -1), top_k, dim=-1)
    return chosen, weights / weights.sum(-1, keepdim=True) if normalise else weights


@operator(EXPERT_MATMUL)
def expert_matmul(x: Tensor, chosen: Tensor, weight: Tensor, layout: str, experts: int, n: int, k: int) -> Tensor:
    """For each row and each of its chosen experts [rows, top_k]: x times that expert's [n, k], transposed.

    x [rows, k], or [rows, top_k * k]: k values for each choice. weight: packed, [experts * n, k]. -> [rows, top_k * n]
    """
    given = rounded(x, layout, "plain").reshape(x.shape[0], -1, k).expand(-1, chosen.shape[1], -1)
    y = x.new_empty((*chosen.shape, n))
    each = weight.shape[0] // experts
    for expert in set(chosen.flatten().tolist()):
        at = chosen == expert
        y[at] = times(given[at], weight[expert * each : (expert + 1) * each], layout, n, k)
    return y.reshape(x.shape[0], -1)
