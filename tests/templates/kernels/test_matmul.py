"""The matmul kernels of every layout, activation precision and instruction set, against float64 matmuls."""

from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sharkpack.formats.packing import LAYOUTS, PackedLayout
from sharkpack.templates import ops
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.matmul import Activations, JoinedMatmul, joint_matmul, matmul
from sharkpack.templates.ops.rounding import dequantize, quantize
from tests.templates.kernel_runner import KernelRunner, isas_here, unlike_isas_here
from tests.templates.weights import Matrix, error, matrix_of, random_matrix

ISAS = pytest.mark.parametrize("isa", isas_here(), ids=lambda isa: isa.name)
LEVELS: tuple[Activations, ...] = ("float32", "int8", "int8_remainder")
ROWS = (1, 2, 3, 4, 7, 8, 13)
TOLERANCE = 4e-7
"""Of |x| |w|: an error of rounding, some 2e-6 of the product itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    layout: str
    activations: Activations
    n: int
    k: int
    bias: bool
    residual: bool

    @property
    def kernel(self) -> Kernel:
        return matmul(self.n, self.k, self.layout, self.activations, bias=self.bias, residual=self.residual)

    @property
    def matrix(self) -> Matrix:
        return random_matrix(self.layout, self.n, self.k, seed=self.n)


def _cases() -> list[Case]:
    """Every layout with every precision it takes, or with one where a layout before it differs in its numbers alone;
    sizes and extras in turn, at steps that have no common factor.

    80 rows make two row tiles a workgroup and leave the last workgroup one.
    """
    sizes, extras = cycle((1, 15, 16, 17, 33, 80, 81)), cycle([(a, b) for a in (False, True) for b in (False, True)])
    narrow, wide, odd = cycle((32, 64, 96)), cycle((256, 512)), cycle((1, 7, 32))
    found: list[Case] = []
    seen = set()
    for layout in LAYOUTS.values():
        widths = {"float": odd, "simple": narrow, "superblock": wide}[layout.kind]
        form = _form(layout)
        levels = LEVELS[:1] if layout.kind == "float" else LEVELS
        for activations in levels if form not in seen else levels[len(found) % len(levels) :][:1]:
            n, k, (bias, residual) = next(sizes), next(widths), next(extras)
            found.append(Case(layout=layout.name, activations=activations, n=n, k=k, bias=bias, residual=residual))
        seen.add(form)
    return found


def _form(layout: PackedLayout) -> PackedLayout:
    """The layout without its name; of one with tables, without its numbers and how they are scaled."""
    if layout.values is None:
        return replace(layout, name="")
    return replace(layout, name="", values=(), zero_point=0, unit=1.0, sub_block=32, scale_type="none")


CASES = _cases()
LIMITS, NIBBLE_LIMITS = (
    [Case(layout=layout, activations=level, n=16, k=64, bias=False, residual=False) for level in LEVELS[1:]]
    for layout in ("q8_0", "q4_1")
)


def _cases_of(isa: Isa) -> list[Case]:
    """All of them on one instruction set, one for each kind of codes on the least, and elsewhere one for each width of
    codes: what differs between instruction sets is in the leaves, which have tests of their own."""
    if isa == isas_here()[-1]:
        return CASES
    if isa != isas_here()[1]:
        quantized = [case for case in CASES if case.activations != "float32"]
        return list({LAYOUTS[case.layout].byte_bits: case for case in quantized}.values())
    kinds = {_codes_of(layout): name for name, layout in reversed(LAYOUTS.items())}
    return [
        next(c for c in CASES if c.layout == name and (c.activations == LEVELS[i % 3] or LAYOUTS[name].kind == "float"))
        for i, name in enumerate(sorted(kinds.values()))
    ]


def _codes_of(layout: PackedLayout) -> tuple[object, ...]:
    """The way codes become bytes; of codes that are bytes, also how they are scaled. Sizes of bytes: see test_dot."""
    if layout.kind == "float":
        return (layout.name,)
    table = layout.values is not None
    return layout.bits, table or (layout.kind, layout.has_min, layout.blocks_per_tile)


@cache
def _runner(isa: Isa) -> KernelRunner:
    """All cases compiled at once: the compiler's start costs more than a kernel."""
    kernels = {case.kernel.name: case.kernel for case in (*_cases_of(isa), *LIMITS, *NIBBLE_LIMITS)}
    return KernelRunner(list(kernels.values()), isa)


def _activations(case: Case, x: torch.Tensor) -> tuple[list[torch.Tensor], NDArray[np.float64]]:
    """The kernel's arguments for x [rows, k], and what they stand for in float64."""
    if case.activations == "float32":
        return [x], x.numpy().astype(np.float64)
    remainder = case.activations == "int8_remainder"
    codes, scales, fine, sums = quantize(ops.rms_norm(x, torch.ones(x.shape[1]), None, 1e-5))
    units = codes.double() + (fine.double() / 256 if remainder else 0)
    halves = units.reshape(x.shape[0], -1, 2, 16) * scales[:, :, :2, None].double()
    return [codes, scales, fine, sums] if remainder else [codes, scales], halves.reshape(x.shape).numpy()


@pytest.mark.parametrize(
    ("case", "isa"),
    [pytest.param(case, isa, id=f"{isa.name}-{case.kernel.name}") for isa in isas_here() for case in _cases_of(isa)],
)
def test_matmul(case: Case, isa: Isa) -> None:
    matrix, random = case.matrix, torch.Generator().manual_seed(0)
    for rows in ROWS:
        arguments, x = _activations(case, torch.randn(rows, case.k, generator=random))
        bias, residual = torch.randn(case.n, generator=random), torch.randn(rows, case.n, generator=random)
        extras = [bias] * case.bias + [residual] * case.residual
        (y,) = _runner(isa)(case.kernel, matrix.packed, *extras, *arguments)
        wanted = x @ matrix.values.T + bias.numpy() * case.bias + residual.numpy() * case.residual
        size = np.linalg.norm(x, axis=1).max() * np.linalg.norm(matrix.values, axis=1).max()
        assert y.shape == wanted.shape
        assert np.abs(y - wanted).max() < TOLERANCE * size, rows


def test_the_cases_cover_what_can_differ() -> None:
    """Layouts are in `_cases`; this is what rotation must not lose."""
    assert {case.n % 16 for case in CASES} >= {0, 1, 15}
    assert {(case.activations, case.bias, case.residual) for case in CASES} == {
        (level, bias, residual) for level in LEVELS for bias in (False, True) for residual in (False, True)
    }
    for tiles in {isa.token_tiles for isa in isas_here()}:
        assert {rows % tiles[-1] for rows in ROWS} == set(range(tiles[-1]))
        assert any(rows >= sum(tiles) for rows in ROWS)
    for kind, widths in (("simple", {32, 64, 96}), ("superblock", {256, 512})):
        of_kind = [case for case in CASES if LAYOUTS[case.layout].kind == kind]
        assert {case.k for case in of_kind} == widths
    two_blocks_a_tile = [case for case in CASES if LAYOUTS[case.layout].blocks_per_tile == 2]
    assert {case.k // 32 % 2 for case in two_blocks_a_tile} == {0, 1}


@ISAS
def test_sums_of_the_largest_codes_do_not_wrap(isa: Isa) -> None:
    """8-bit codes of 255 and 0 (127 and -128 before the zero point) against activations of 127 and -127."""
    n, k = 16, 64
    blocks = np.zeros((n * k // 32, 34), np.uint8)
    blocks[:, :2] = np.array([1.0], np.float16).view(np.uint8)
    blocks[:, 2:] = np.array([127, -128], np.int8).view(np.uint8)[np.arange(len(blocks)) // 2 % 2, None]
    _assert_exact(isa, LIMITS, matrix_of("q8_0", blocks.reshape(-1), n, k))


@ISAS
def test_sums_of_the_largest_nibbles_do_not_wrap(isa: Isa) -> None:
    """4-bit codes of 15, which some instruction sets multiply as 240, and of 0."""
    n, k = 16, 64
    blocks = np.zeros((n * k // 32, 20), np.uint8)
    blocks[:, :2] = np.array([1.0], np.float16).view(np.uint8)
    blocks[:, 4:] = np.array([255, 0], np.uint8)[np.arange(len(blocks)) // 2 % 2, None]
    _assert_exact(isa, NIBBLE_LIMITS, matrix_of("q4_1", blocks.reshape(-1), n, k))


def _assert_exact(isa: Isa, limits: list[Case], matrix: Matrix) -> None:
    runner, (coarse, fine) = _runner(isa), [case.kernel for case in limits]
    x = torch.tensor([[127.0], [-127.0]]).expand(2, 64).contiguous()
    codes, scales = quantize(x)[:2]
    left = torch.full_like(codes, 127)
    sums = 127 * 16 / 256 * scales[:, :, :2]
    (y,) = runner(coarse, matrix.packed, codes, scales)
    assert error(y, x.double().numpy() @ matrix.values.T) < 1e-6
    (y,) = runner(fine, matrix.packed, codes, scales, left, sums)
    assert error(y, (x.double().numpy() + 127 / 256) @ matrix.values.T) < 1e-6


@ISAS
def test_residual_bytes_add_the_second_eight_bits(isa: Isa) -> None:
    """Against what was quantised: 8 bits are off by thousandths, 16 by hundred-thousandths."""
    runner, matrix = _runner(isa), random_matrix("q8_0", 16, 64)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    wanted = ops.rms_norm(x, torch.ones(64), None, 1e-5).double().numpy() @ matrix.values.T
    coarse, fine = (error(runner(case.kernel, matrix.packed, *_activations(case, x)[0])[0], wanted) for case in LIMITS)
    assert 1e-4 < coarse < 1e-2
    assert fine < coarse / 100


JOINT: tuple[tuple[str, Activations, int, bool], ...] = (
    ("q4_1", "int8", 48, True),
    ("q6_k", "int8", 17, False),
    ("q8_0", "int8_remainder", 81, True),
)
"""Matmuls of one kernel: shapes, layouts and precisions that differ."""


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
def test_matmuls_in_one_kernel_are_each_the_same(isa: Isa) -> None:
    k, random = 256, torch.Generator().manual_seed(2)
    parts = tuple(
        JoinedMatmul(n=n, k=k, layout=layout, activations=level, bias=bias, suffix=f"_{i}")
        for i, (layout, level, n, bias) in enumerate(JOINT)
    )
    kernel = joint_matmul(parts)
    matrices = [random_matrix(layout, n, k, seed=n) for layout, _, n, _ in JOINT]
    biases = [torch.randn(part.n, generator=random) for part in parts]
    inputs = [
        given for m, b, part in zip(matrices, biases, parts, strict=True) for given in [m.packed, b][: 1 + part.bias]
    ]
    runner = KernelRunner([kernel], isa)
    for rows in (1, 5):
        x = quantize(ops.rms_norm(torch.randn(rows, k, generator=random), torch.ones(k), None, 1e-5))
        found = runner(kernel, *inputs, *x)
        for (layout, level, n, has_bias), m, b, y in zip(JOINT, matrices, biases, found, strict=True):
            meant = dequantize(*x[:2], x[2] if level == "int8_remainder" else None)
            bias = b if has_bias else None
            wanted = ops.matmul(meant, torch.from_numpy(m.packed), bias, None, layout, n, k, "exact")
            assert y.shape == (rows, n)
            assert error(y, wanted.double().numpy()) < 1e-6
