"""All of a decode step's attention in one kernel: what it writes to the pages, and what it makes of them, at and around
the borders of parts, whoever ends last."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sharkpack.templates import ops
from sharkpack.templates.kernels.attention_split_k import MOST, counters, room_for_parts
from sharkpack.templates.kernels.attention_step import attention_step
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel, Split
from sharkpack.templates.ops.attention import rope_and_store
from sharkpack.templates.ops.paged_cache import PagedCache
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.kernels.attention_cases import Case, dense, fill
from tests.templates.weights import error

BEST = unlike_isas_here()[-1]
TOLERANCE = 4e-6
EPSILON = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCase(Case):
    """rope: dimensions of a head that are rotated. norms: of the heads of q and k."""

    rope: int
    norms: bool = False

    @property
    def kernel(self) -> Kernel:
        return self._kernel("float32")

    @property
    def quantised(self) -> Kernel:
        return self._kernel("int8")

    def _kernel(self, output: str) -> Kernel:
        return attention_step(
            self.layout,
            self.heads,
            self.rope,
            self.scale,
            window=self.window or None,
            cap=self.softcap,
            epsilon=EPSILON if self.norms else None,
            output=output,  # type: ignore[arg-type]
        )

    @property
    def static(self) -> tuple[int | float, ...]:
        """The operator's arguments that are no tensors."""
        return 1, self.heads, self.scale, self.window, *self.shape, self.softcap, EPSILON


# Parts of 128 positions, 256 and 512; several kv heads and one; blocks of heads that share a part and that do not;
# windows of less than a part, of some parts, and of more than all of them; heads rotated whole and in part; more heads
# than the stack has room for.
CASES = [
    StepCase(dtype="f32", page_size=16, kv_heads=1, group=2, key=256, value=256, window=0, rope=256, norms=True),
    StepCase(dtype="f16", page_size=32, kv_heads=3, group=3, key=64, value=64, window=0, rope=64),
    StepCase(dtype="i8", page_size=64, kv_heads=2, group=7, key=256, value=256, window=0, rope=64, softcap=2.5),
    StepCase(dtype="f32", page_size=128, kv_heads=1, group=9, key=128, value=128, window=1000, rope=32, norms=True),
    StepCase(dtype="f32", page_size=32, kv_heads=2, group=1, key=256, value=256, window=40, rope=128),
    StepCase(dtype="f16", page_size=16, kv_heads=1, group=4, key=256, value=256, window=300, rope=256, norms=True),
    StepCase(dtype="i8", page_size=16, kv_heads=2, group=3, key=32, value=48, window=33, rope=32),
    StepCase(dtype="f16", page_size=32, kv_heads=1, group=12, key=256, value=256, window=0, rope=256),
    StepCase(dtype="f16", page_size=64, kv_heads=1, group=7, key=64, value=32, window=0, rope=32, softcap=1.5),
]
# Two sequences a call: nothing but the first token, both sides of each border, more than the parts there are.
LENGTHS = [(1, 128), (127, 129), (255, 256), (257, 511), (512, 513), (385, 1), (1023, 1025), (1024, 130), (1500, 2300)]


@cache
def _runner(isa: Isa, device: str = "local-sync") -> KernelRunner:
    return KernelRunner([case.kernel for case in CASES], isa, device=device)


@cache
def _arguments(case: StepCase, starts: tuple[int, ...], lengths: tuple[int, ...]) -> tuple[torch.Tensor | None, ...]:
    """The operator's inputs for one step of sequences; the newest positions hold other values than they shall."""
    random, rows = torch.Generator().manual_seed(sum(lengths)), len(lengths)
    where, filled, _, _ = fill(case, list(starts), list(lengths), -(-max(lengths) // case.page_size), random)
    widths = case.heads * case.key, case.kv_heads * case.key, case.kv_heads * case.value
    q, k, v = (torch.randn(rows, width, generator=random) for width in widths)
    turns = 6 * torch.rand(rows, case.rope // 2, generator=random)
    norms = [1 + torch.rand(case.key, generator=random) if case.norms else None for _ in range(2)]
    parts = torch.full((rows, room_for_parts(case.heads, case.value)), torch.nan)
    parts[:, : counters(case.heads)] = 0
    return q, k, v, torch.cat([turns.cos(), turns.sin()], 1), *norms, *where, parts, filled


def _run(
    case: StepCase, arguments: tuple[torch.Tensor | None, ...], run: KernelRunner, kernel: Kernel
) -> list[NDArray[np.float32]]:
    """parts, cache and what attention gives."""
    given = [each.clone() for each in arguments if each is not None]
    return run(kernel, 1, *given)


def _newest(case: StepCase, cache: torch.Tensor, arguments: tuple[torch.Tensor | None, ...]) -> list[torch.Tensor]:
    """Keys and values [length, kv_heads, head_dim] of each sequence in turn, of layer 1."""
    page_ids, _, lengths = arguments[6:9]
    assert page_ids is not None
    assert lengths is not None
    paged = PagedCache(cache, *case.shape)
    return [part for n, length in enumerate(lengths) for part in paged.read(1, page_ids[n], int(length))]


def _wanted(case: StepCase, after: torch.Tensor, arguments: tuple[torch.Tensor | None, ...]) -> NDArray[np.float64]:
    """Attention by a dense softmax in float64 over the cache as the kernel left it."""
    q, k, v, angles, q_norm, _, *where, _, filled = arguments
    assert q is not None
    if q_norm is not None:
        q = ops.rms_norm(q, q_norm, None, EPSILON)
    given: list[Any] = [q, k, v, angles, *where, filled, 1, case.heads, *case.shape]
    _, rotated = rope_and_store(*given)
    found = [part.double().numpy() for part in _newest(case, after, arguments)]
    starts, lengths = (each.tolist() for each in where[1:])  # type: ignore[union-attr]
    return dense(case, rotated.double().numpy(), starts, lengths, 1, found[::2], found[1::2])


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_every_length(case: StepCase, isa: Isa) -> None:
    for lengths in LENGTHS:
        arguments = _arguments(case, tuple(length - 1 for length in lengths), lengths)
        parts, after, y = _run(case, arguments, _runner(isa), case.kernel)
        assert not parts[:, : counters(case.heads)].any()
        found, before = torch.from_numpy(after), arguments[-1]
        assert before is not None
        assert error(y, _wanted(case, found, arguments)) < TOLERANCE, lengths
        operands: list[Any] = [*arguments[:-2], before, *case.static, True]
        eager, _ = ops.attend(*operands)
        for ours, theirs in zip(_newest(case, found, arguments), _newest(case, eager, arguments), strict=True):
            # A rounding to float16 or to a code may fall on the other side of a tie.
            assert torch.equal(ours[:-1], theirs[:-1])
            assert (ours[-1] - theirs[-1]).abs().max() <= theirs.abs().max() * {"f32": 1e-6, "f16": 1e-3, "i8": 0.01}[
                case.dtype
            ]
        changed = (found != before) & ~(found.isnan() & before.isnan())
        assert 0 < changed.sum() <= len(lengths) * case.layout.layer_elements // case.page_size


@pytest.mark.parametrize("case", CASES[:3], ids=lambda case: case.kernel.name)
def test_it_makes_no_difference_who_ends_last(case: StepCase) -> None:
    """Threads end in any order; sums are made in that of the parts."""
    arguments = _arguments(case, (1499, 2299), (1500, 2300))
    once = _run(case, arguments, _runner(BEST), case.kernel)[2]
    for _ in range(50):
        assert np.array_equal(once, _run(case, arguments, _runner(BEST, "local-task"), case.kernel)[2])


def test_quantised_by_whoever_ends_last() -> None:
    """Codes of the float32 result, but for values at a tie."""
    case, arguments = CASES[1], _arguments(CASES[1], (1499, 2299), (1500, 2300))
    _, after, codes, scales = _run(case, arguments, KernelRunner([case.quantised], BEST), case.quantised)
    blocks = _wanted(case, torch.from_numpy(after), arguments).reshape(*scales.shape[:2], 2, 16)
    found = codes.reshape(blocks.shape) * scales[:, :, :2, None]
    assert np.abs(found - blocks).max() <= 0.51 * scales[:, :, :2].max()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_padding_is_written_to_page_0(case: StepCase) -> None:
    """A row past its sequence's end, even past the page table, leaves the pages alone and gives finite numbers."""
    arguments = _arguments(case, (5, 5000), (6, 17))
    _, after, y = _run(case, arguments, _runner(BEST), case.kernel)
    assert np.isfinite(y).all()
    assert error(y[0], _wanted(case, torch.from_numpy(after), arguments)[0]) < TOLERANCE
    before = arguments[-1]
    assert before is not None
    page_ids = arguments[6]
    assert page_ids is not None
    theirs = page_ids[1].numpy()
    assert np.array_equal(after[theirs], before.numpy()[theirs], equal_nan=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kernel.name)
def test_the_first_page_is_asked_for_before_any_is_read(case: StepCase) -> None:
    """Nothing is read before it that could ask: its keys into the first-level cache, its values into the second."""
    text = case.kernel.render(BEST)
    before = text[: text.index("vector.load %cache")]
    assert before.count("memref.prefetch %cache") >= 2
    assert {"locality<2>", "locality<3>"} <= set(re.findall(r"locality<\d>", before))


def test_how_many_parts() -> None:
    """One where a context is short, MOST where it is long, and no more than a window sees."""
    assert CASES[0].kernel.split == Split(dimension="table_width", each=8, most=MOST)
    assert [case.kernel.split.most for case in CASES[:6] if case.kernel.split] == [MOST, MOST, MOST, MOST, 1, 2]
