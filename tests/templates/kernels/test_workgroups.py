"""How long a dispatch takes that IREE's workers share out, and the size of workgroups that ends it soonest."""

import pytest

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.workgroups import BEGIN_BYTES, LATE_BYTES, best_size, last_end

EACH = 100_000
TAKEN = EACH + BEGIN_BYTES


def test_fewer_than_eight_for_each_thread_are_taken_one_by_one() -> None:
    assert last_end([EACH] * 15, 2) == max(8 * TAKEN, 7 * TAKEN + LATE_BYTES)
    assert last_end([EACH] * 15, 1) == 15 * TAKEN


def test_more_are_taken_eight_at_a_time() -> None:
    """38 are five shares: three of eight for the first thread, one of them six, two of eight for the second."""
    assert last_end([EACH] * 38, 2) == (8 + 8 + 6) * TAKEN
    assert last_end([EACH] * 16, 2) == 8 * TAKEN + LATE_BYTES


# Of Qwen2.5-0.5B, SmolLM2-135M and a model of 7 billion parameters.
SHAPES = [(4864, 896, "q5_0"), (896, 4864, "q6_k"), (49152, 576, "q8_0"), (4096, 4096, "q4_k"), (14336, 4096, "q4_k")]


@pytest.mark.parametrize(("n", "k", "layout"), SHAPES)
def test_large_weights_are_shared_evenly(n: int, k: int, layout: str) -> None:
    """Two threads end at most a tenth later than if all bytes were shared evenly, and so do four but with a fifth."""
    nbytes = packed_nbytes(LAYOUTS[layout], (n, k))
    tiles = RowTiles(n, nbytes)
    groups = tiles.groups_of(best_size(tiles.groups_of))
    for threads, slower in ((2, 1.1), (4, 1.25)):
        assert last_end(groups, threads) * threads / nbytes < slower, (threads, len(groups))
