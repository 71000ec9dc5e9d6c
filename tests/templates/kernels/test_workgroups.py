"""The time of a dispatch that IREE's workers share out, and the sizes of workgroups that end it soonest."""

import numpy as np
import pytest

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.emitter import Binding, Emitter
from sharkpack.templates.kernels.isa import PORTABLE
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.workgroups import (
    BEGIN_BYTES,
    LATE_BYTES,
    SIZES,
    Shares,
    best,
    even,
    last_end,
    tapered,
)
from tests.templates.kernel_runner import KernelRunner

EACH = 100_000
TAKEN = EACH + BEGIN_BYTES


def test_fewer_than_eight_for_each_thread_are_taken_one_by_one() -> None:
    assert last_end([EACH] * 15, 2) == max(8 * TAKEN, 7 * TAKEN + LATE_BYTES)
    assert last_end([EACH] * 15, 1) == 15 * TAKEN


def test_more_are_taken_eight_at_a_time() -> None:
    """38 are five shares: three of eight for the first thread, one of them six, two of eight for the second."""
    assert last_end([EACH] * 38, 2) == (8 + 8 + 6) * TAKEN
    assert last_end([EACH] * 16, 2) == 8 * TAKEN + LATE_BYTES


def test_a_slower_thread_ends_later() -> None:
    assert last_end([EACH] * 4, 2, (1.0, 3.0)) == 3 * TAKEN + LATE_BYTES
    assert last_end([EACH] * 4, 2, (1.5, 1.0)) == 3 * TAKEN


@pytest.mark.parametrize("total", [0, 1, 7, 64])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_even_shares_are_all_of_the_work(total: int, size: int) -> None:
    shares = even(total, size)
    assert sum(shares.sizes(total)) == total
    assert shares.groups == len(shares.sizes(total)) == max(1, -(-total // size))


def test_tapered_shares_end_with_small_ones_and_none_is_empty() -> None:
    found = 0
    for total in range(1, 200):
        for ratio in (2, 3, 4):
            shares = tapered(total, 2, ratio, 3, most=16)
            if shares is None:
                continue
            sizes = shares.sizes(total)
            assert sum(sizes) == total
            assert sizes == sorted(sizes, reverse=True)
            assert 0 < sizes[-1] <= 2
            assert sizes[0] == shares.most <= 16
            found += 1
    assert found > 300
    assert tapered(10, 2, 2, 3, most=16) is None
    assert tapered(1000, 2, 3, 3, most=2) is None


@pytest.mark.parametrize("runs", [((5, 3),), ((2, 8), (3, 2)), ((2, 9), (1, 3), (4, 1))])
def test_a_kernel_finds_where_each_share_begins(runs: tuple[tuple[int, int], ...]) -> None:
    shares = Shares(runs)
    begins = [sum(shares.sizes(1000)[:group]) for group in range(shares.groups + 1)]
    runner = KernelRunner([_firsts(shares)], PORTABLE)
    (found,) = runner(_firsts(shares), np.zeros((1, 1), np.float32))
    assert found[0].tolist() == begins


def _firsts(shares: Shares) -> Kernel:
    """Stores where each share begins, and where the last one ends."""

    def body(e: Emitter) -> None:
        for group in range(shares.groups + 1):
            first = e.op(f"arith.index_cast {shares.first(e, e.index(group))} : index to i64")
            e.store_scalar(first, "found", ["%group_x", e.index(group)])

    outputs = Binding.of("found", f"?x{shares.groups + 1}xi64", access="write")
    return Kernel(
        name=f"firsts_{shares.groups}",
        bindings=(Binding.of("x", "?x1xf32"), outputs),
        body=body,
        dimensions={"rows": ("x", 0)},
        row_tile=1,
    )


# Of Qwen2.5-0.5B, SmolLM2-135M and a model of 7 billion parameters.
SHAPES = [(4864, 896, "q5_0"), (896, 4864, "q6_k"), (49152, 576, "q8_0"), (4096, 4096, "q4_k"), (14336, 4096, "q4_k")]


@pytest.mark.parametrize(("n", "k", "layout"), SHAPES)
def test_large_weights_are_shared_evenly(n: int, k: int, layout: str) -> None:
    """Two threads end at most a tenth later than if all bytes were shared evenly, and so do four but with a fifth."""
    nbytes = packed_nbytes(LAYOUTS[layout], (n, k))
    tiles = RowTiles(n, nbytes)
    groups = [tiles.unit_bytes * size for size in tiles.shares.sizes(tiles.units)]
    alike = tiles.groups_of(best(SIZES, tiles.groups_of))
    for threads, slower in ((2, 1.1), (4, 1.25)):
        assert last_end(groups, threads) * threads / nbytes < slower, (threads, len(groups))
        assert last_end(groups, threads) < 1.02 * last_end(alike, threads)
