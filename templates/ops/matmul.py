"""Operators that read packed weights: embedding and matmul."""

import torch
from torch import Tensor

from sharkpack.formats.packing import LAYOUTS, unpack, unpack_rows
from sharkpack.templates.lowering.operators import EMBEDDING, MATMUL
from sharkpack.templates.ops.define import operator
from sharkpack.templates.ops.rounding import rounded


@operator(EMBEDDING)
def embedding(tokens: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    """Rows `tokens` [rows] i64 of a packed [n, k] table, as [rows, k] float32."""
    return torch.from_numpy(unpack_rows(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k), tokens.numpy()))


@operator(MATMUL)
def matmul(
    x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor | None, layout: str, n: int, k: int, rounding: str
) -> Tensor:
    """x [rows, k] times a packed [n, k] weight, transposed, plus bias [n] and residual [rows, n].

    rounding: how much of x the model needs: "plain", "fine" (more than 8 bits) or "exact". What that means is a
    lowering's choice, and may be more.
    """
    y = times(rounded(x, layout, rounding), weight, layout, n, k)
    y = y if bias is None else y + bias
    return y if residual is None else y + residual


def times(x: Tensor, weight: Tensor, layout: str, n: int, k: int) -> Tensor:
    """x [rows, k] times a packed [n, k] weight, transposed."""
    dense: Tensor = torch.from_numpy(unpack(LAYOUTS[layout], weight.numpy().view("uint8"), (n, k)))
    return x @ dense.T
