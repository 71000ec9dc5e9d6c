"""A long context shared by workgroups: what each length gives at and around the borders of parts, whoever ends last."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch

from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.attention_parts import MOST, counters, room_for_parts
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Split
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.kernels.attention_cases import Case, dense, fill
from tests.templates.weights import error

BEST = unlike_isas_here()[-1]
TOLERANCE = 4e-6


def _with_room(case: Case) -> Case:
    return replace(case, prefill=False, room=room_for_parts(case.layout, case.heads))


# Parts of 128 positions, 256 and 512; several kv heads and one; blocks of heads that share a part and that do not;
# windows of less than a part, of some parts, and of more than all of them.
WIDE = Case(dtype="f32", page_size=16, kv_heads=1, group=2, key=256, value=256, window=0)
CASES = [
    _with_room(case)
    for case in (
        WIDE,
        Case(dtype="f16", page_size=32, kv_heads=3, group=3, key=64, value=64, window=0),
        Case(dtype="i8", page_size=64, kv_heads=2, group=7, key=256, value=256, window=0, softcap=2.5),
        Case(dtype="f32", page_size=128, kv_heads=1, group=9, key=128, value=128, window=1000),
        Case(dtype="f32", page_size=32, kv_heads=2, group=1, key=256, value=256, window=40),
        Case(dtype="f16", page_size=16, kv_heads=1, group=4, key=256, value=256, window=300),
    )
]
# Two sequences a call: nothing but the first token, both sides of each border, more than the parts there are.
LENGTHS = [(1, 128), (127, 129), (255, 256), (257, 511), (512, 513), (385, 1), (1023, 1025), (1024, 130), (1500, 2300)]


@cache
def _runner(isa: Isa, device: str = "local-sync") -> KernelRunner:
    return KernelRunner([case.kernel for case in CASES], isa, device=device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of a decode of sequences of some lengths, and what it must give."""

    arguments: tuple[torch.Tensor, ...]
    wanted: np.ndarray


@cache
def _call(case: Case, lengths: tuple[int, ...]) -> Call:
    random = torch.Generator().manual_seed(sum(lengths))
    starts = [length - 1 for length in lengths]
    width = -(-max(lengths) // case.page_size)
    where, filled, keys, values = fill(case, starts, list(lengths), width, random)
    q = torch.randn(len(lengths), case.heads * case.key, generator=random)
    wanted = dense(case, q.double().numpy(), starts, list(lengths), 1, keys, values)
    room = torch.full((len(lengths), case.room), torch.nan)
    room[:, : counters(case.heads)] = 0
    return Call(arguments=(torch.cat([q, room], 1), *where, filled), wanted=wanted)


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_every_length(case: Case, isa: Isa) -> None:
    for lengths in LENGTHS:
        call = _call(case, lengths)
        cache_after, y = _runner(isa)(case.kernel, 1, *call.arguments)
        assert error(y, call.wanted) < TOLERANCE, lengths
        assert np.array_equal(cache_after, call.arguments[-1].numpy(), equal_nan=True)


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.kernel.name)
def test_it_makes_no_difference_who_ends_last(case: Case) -> None:
    """Threads end in any order; sums are made in that of the parts."""
    call = _call(case, LENGTHS[-1])
    once = _runner(BEST)(case.kernel, 1, *call.arguments)[1]
    for _ in range(50):
        assert np.array_equal(once, _runner(BEST, "local-task")(case.kernel, 1, *call.arguments)[1])


def test_quantised_by_whoever_ends_last() -> None:
    """Codes of the float32 result, but for values at a tie."""
    case = CASES[1]
    kernel = attention(case.layout, case.heads, case.scale, window=None, prefill=False, output="int8", room=case.room)
    call = _call(case, LENGTHS[-1])
    _, codes, scales = KernelRunner([kernel], BEST)(kernel, 1, *call.arguments)
    blocks = call.wanted.reshape(*scales.shape[:2], 2, 16)
    found = codes.reshape(blocks.shape) * scales[:, :, :2, None]
    assert np.abs(found - blocks).max() <= 0.51 * scales[:, :, :2].max()


def test_how_many_parts() -> None:
    """One where a context is short, MOST where it is long, and no more than a window sees."""
    assert CASES[0].kernel.split == Split(dimension="table_width", each=8, most=MOST)
    assert [case.kernel.split.most for case in CASES if case.kernel.split] == [MOST, MOST, MOST, MOST, 1, 2]
    assert replace(WIDE, prefill=True).kernel.split is None
