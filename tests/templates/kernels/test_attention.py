"""Paged attention against a dense softmax in float64; memory that was never written holds NaN throughout."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.ops.attention import attention as attention_of
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES
from sharkpack.templates.ops.rounding import quantize
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.kernels.attention_cases import Case, dense, fill
from tests.templates.kernels.beside_blocks import check_beside_blocks
from tests.templates.weights import error


def _case(dtype: CacheDtype, page_size: int, kv_heads: int, group: int, head: tuple[int, int], window: int) -> Case:
    key, value = head
    return Case(dtype=dtype, page_size=page_size, kv_heads=kv_heads, group=group, key=key, value=value, window=window)


# Every group size from 1 to 9, every page size with each element type, windows within, at and past a page, tiles of
# one query and of several.
CASES = [
    _case("f32", 16, 2, 3, (32, 48), 0),
    _case("f16", 16, 1, 1, (64, 64), 5),
    _case("f32", 32, 1, 9, (32, 32), 32),
    replace(_case("f16", 32, 2, 2, (64, 64), 0), softcap=2.5),
    _case("f16", 64, 1, 4, (128, 32), 20),
    _case("f32", 64, 1, 1, (32, 16), 70),
    _case("f16", 16, 1, 8, (32, 32), 33),
    _case("f32", 16, 3, 5, (16, 16), 1),
    _case("f32", 128, 1, 6, (32, 32), 100),
    _case("f16", 32, 1, 4, (256, 256), 40),
    replace(_case("f32", 16, 2, 3, (32, 48), 20), softcap=1.5),
    _case("f16", 64, 1, 7, (64, 32), 0),
    _case("i8", 16, 2, 3, (32, 48), 33),
    replace(_case("i8", 32, 1, 9, (64, 64), 0), softcap=2.5),
    _case("i8", 64, 3, 2, (80, 16), 20),
    replace(_case("i8", 128, 1, 1, (32, 32), 0), softcap=1.5),
    _case("i8", 32, 2, 4, (256, 256), 40),
]

TOLERANCE = 4e-6

# start_positions, seq_lens, tokens each, table width in positions (a multiple of every page size)
STEPS = {
    "first token": ([0], [1], 1, 128),
    "decode": ([37], [38], 1, 128),
    "decode at a page's first and last slot": ([64, 63], [65, 64], 1, 128),
    "prefill": ([0], [40], 40, 128),
    "chunk": ([30], [35], 5, 128),
    "two with padding": ([3, 15], [36, 17], 34, 128),
    "long": ([200, 0], [203, 3], 3, 256),
    "padding past the table": ([126, 0], [127, 1], 9, 128),
}


@cache
def _runner(isa: Isa) -> KernelRunner:
    return KernelRunner([case.kernel for case in CASES], isa)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCase:
    """The arguments of one call, which of its rows are real, and what those must give."""

    q: torch.Tensor
    where: tuple[torch.Tensor, ...]
    filled: torch.Tensor
    real: list[int]
    wanted: NDArray[np.float64]


@cache
def _step(case: Case, name: str) -> StepCase:
    starts, lens, each, positions = STEPS[name]
    random = torch.Generator().manual_seed(len(name))
    where, filled, keys, values = fill(case, starts, lens, positions // case.page_size, random)
    q = torch.randn(len(starts) * each, case.heads * case.key, generator=random)
    wanted = dense(case, q.double().numpy(), starts, lens, each, keys, values)
    real = [n * each + t for n in range(len(starts)) for t in range(lens[n] - starts[n])]
    return StepCase(q=q, where=where, filled=filled, real=real, wanted=wanted[real])


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_attention(case: Case, isa: Isa) -> None:
    for name in STEPS:
        step = _step(case, name)
        cache_after, y = _runner(isa)(case.kernel, 1, step.q, *step.where, step.filled.clone())
        assert np.array_equal(cache_after, step.filled.numpy(), equal_nan=True)
        assert error(y[step.real], step.wanted) < TOLERANCE, name
        assert np.isfinite(y).all(), name  # padding's rows too: norms and products go on with them


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_eager_attention(case: Case) -> None:
    for name in STEPS:
        step = _step(case, name)
        sizes = (1, case.heads, case.scale, case.window, *case.shape, case.softcap)
        operands: list[Any] = [step.q, *step.where, step.filled, *sizes]
        y = attention_of(*operands)
        assert error(y[step.real], step.wanted) < TOLERANCE, name


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
def test_scores_far_apart_and_far_from_zero(isa: Isa) -> None:
    """The maximum grows from page to page by hundreds: what came before fades to nothing, nothing overflows."""
    case = CASES[0]
    where, filled, keys, values = fill(case, [0], [48], 8, torch.Generator().manual_seed(1))
    q = torch.randn(48, case.heads * case.key, generator=torch.Generator().manual_seed(2)) * 300
    _, y = _runner(isa)(case.kernel, 1, q, *where, filled.clone())
    assert error(y, dense(case, q.double().numpy(), [0], [48], 48, keys, values)) < 1e-3


# Narrow and wide values; a group of heads that fits no whole block of 32, so that two workgroups write one block.
QUANTISED = [replace(CASES[0], kv_heads=4), CASES[3], CASES[10]]


def _quantised(case: Case) -> Kernel:
    window = case.window or None
    return attention(case.layout, case.heads, case.scale, window=window, output="int8")


def test_quantised_as_it_is_made() -> None:
    """Codes and scales of the float32 result, but for values at a tie: one code more or less."""
    isa = unlike_isas_here()[-1]
    run = KernelRunner([_quantised(case) for case in QUANTISED], isa)
    for case in QUANTISED:
        step = _step(case, "two with padding")
        codes, scales = run(_quantised(case), 1, step.q, *step.where, step.filled.clone())[1:]
        sizes = (1, case.heads, case.scale, case.window, *case.shape)
        operands: list[Any] = [step.q, *step.where, step.filled, *sizes]
        wanted, wanted_scales = quantize(attention_of(*operands))[:2]
        assert np.abs(codes[step.real].astype(int) - wanted.numpy()[step.real].astype(int)).max() <= 1
        assert (codes[step.real] != wanted.numpy()[step.real]).mean() < 1e-3
        assert error(scales[step.real][..., :2], wanted_scales[step.real][..., :2]) < TOLERANCE
        check_beside_blocks(codes[step.real], scales[step.real])


def test_the_cases_cover_what_can_differ() -> None:
    assert {case.group for case in CASES} == set(range(1, 10))
    assert {(case.page_size, case.dtype) for case in CASES} >= {(p, d) for p in (16, 32, 64) for d in CACHE_DTYPES}
    assert {case.key for case in CASES} >= {32, 64, 128, 256}
    assert len({case.kernel.row_tile for case in CASES}) > 3
    assert {case.softcap > 0 for case in CASES} == {True, False}
    windows = [(case.window, case.page_size) for case in CASES if case.window]
    assert any(w < p for w, p in windows)
    assert any(w == p for w, p in windows)
    assert any(w > p for w, p in windows)
