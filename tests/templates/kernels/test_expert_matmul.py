"""Matmuls with the experts that rows chose, against float64 matmuls with each expert's own values."""

from contextlib import nullcontext
from itertools import cycle

import numpy as np
import pytest
import torch

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates import ops
from sharkpack.templates.kernels.expert_matmul import expert_matmul
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.row_tiles import STREAMS, RowTiles
from sharkpack.templates.ops.rounding import dequantize, quantize, rounding_activations
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.weights import Matrix, error, random_matrix

EXPERTS, TOP_K = 5, 2
NAMES = ("f32", "bf16", "q8_0", "q4_1", "q5_0", "mxfp4", "q4_k", "q6_k")
"""Of each kind of layout some: what differs between all of them is below this kernel, and tested with `matmul`."""

CHOSEN = torch.tensor([[4, 0], [0, 1], [3, 2], [4, 3]])
"""Every expert by some row, one by several; first and last at either place."""


def _cases(isa: Isa) -> list[tuple[str, str, int, int, bool]]:
    """(layout, activations, n, k, each_choice): sizes, precisions and widths of x in turn."""
    narrow, odd, tiles = cycle((32, 64, 96)), cycle((1, 7)), cycle((16, 32, 48, 80, 96))
    found = []
    for i, layout in enumerate(LAYOUTS[name] for name in NAMES):
        k = {"float": next(odd), "simple": next(narrow)}.get(layout.kind, 256)
        levels = ["float32"] if layout.kind == "float" else ["float32", "int8"]
        if isa.name != "avx512vnni":
            levels = levels[i % len(levels) :][:1]
        found += [(layout.name, level, next(tiles), k, (i + j) % 2 == 0) for j, level in enumerate(levels)]
    return found


def _kernel(layout: str, activations: str, n: int, k: int, each_choice: bool) -> Kernel:
    assert activations in ("float32", "int8")
    return expert_matmul(EXPERTS, TOP_K, n, k, layout, activations, each_choice=each_choice)  # type: ignore[arg-type]


def _arguments(x: torch.Tensor, activations: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The kernel's arguments for x, and the values they stand for."""
    if activations == "float32":
        return [x], x
    codes, scales = quantize(x)[:2]
    return [codes, scales], dequantize(codes, scales, None)


def _wanted(x: torch.Tensor, matrix: Matrix, n: int, k: int) -> np.ndarray:
    given = x.double().numpy().reshape(len(CHOSEN), -1, k)
    values = matrix.values.reshape(EXPERTS, n, k)
    rows = [
        [values[expert] @ given[row, min(slot, given.shape[1] - 1)] for slot, expert in enumerate(experts)]
        for row, experts in enumerate(CHOSEN.tolist())
    ]
    return np.array(rows).reshape(len(CHOSEN), TOP_K * n)


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
def test_each_row_meets_its_own_experts(isa: Isa) -> None:
    cases = _cases(isa)
    runner = KernelRunner([_kernel(*case) for case in cases], isa)
    for case in cases:
        layout, activations, n, k, each_choice = case
        matrix = random_matrix(layout, EXPERTS * n, k)
        x = torch.randn(len(CHOSEN), k * (TOP_K if each_choice else 1), generator=torch.Generator().manual_seed(0))
        arguments, meant = _arguments(x, activations)
        wanted = _wanted(meant, matrix, n, k)
        for rows in (1, 4):
            given = [argument[:rows].contiguous() for argument in arguments]
            (y,) = runner(_kernel(*case), matrix.packed, *given, CHOSEN[:rows].contiguous())
            assert error(y, wanted[:rows]) < 3e-6, case
        with rounding_activations() if activations == "int8" else nullcontext():
            eager = ops.expert_matmul(x, CHOSEN, matrix.tensor, layout, EXPERTS, n, k)
        assert error(eager, wanted) < 3e-6, case


def test_the_cases_cover_what_can_differ() -> None:
    for isa in unlike_isas_here():
        assert {layout for layout, *_ in _cases(isa)} == set(NAMES)
        assert {LAYOUTS[name].kind for name in NAMES} == {layout.kind for layout in LAYOUTS.values()}
        assert {each_choice for *_, each_choice in _cases(isa)} == {False, True}
        assert {n // 16 % 2 for _, _, n, _, _ in _cases(isa)} == {0, 1}


def test_experts_that_are_not_chosen_are_not_read() -> None:
    """Their streams hold NaN scales, which any use would show."""
    isa, n, k = unlike_isas_here()[-1], 32, 64
    kernel = _kernel("q8_0", "int8", n, k, False)
    matrix = random_matrix("q8_0", EXPERTS * n, k)
    packed = matrix.packed.reshape(EXPERTS, -1).copy()
    packed[2:] = -1
    arguments, meant = _arguments(torch.randn(2, k), "int8")
    chosen = torch.tensor([[0, 1], [1, 0]])
    (y,) = KernelRunner([kernel], isa)(kernel, packed.reshape(-1), *arguments, chosen)
    wanted = np.einsum("enk,rk->ren", matrix.values.reshape(EXPERTS, n, k)[:2], meant.double().numpy())
    assert error(y.reshape(2, 2, n)[0], wanted[0]) < 3e-6
    assert error(y.reshape(2, 2, n)[1], wanted[1][::-1]) < 3e-6


def test_an_experts_work_is_shared_out_completely() -> None:
    for n, k in ((16, 256), (80, 256), (768, 2048), (14336, 4096)):
        kernel = expert_matmul(8, 2, n, k, "q4_1", "int8", each_choice=False)
        tiles = RowTiles(n, packed_nbytes(LAYOUTS["q4_1"], (n, k)))
        assert kernel.groups == 2 * tiles.groups
        assert tiles.unit * sum(tiles.shares.sizes(tiles.units)) + n // 16 % STREAMS == n // 16
