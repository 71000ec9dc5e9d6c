"""How large the workgroups of a kernel should be, for threads as IREE's workers share them out. Knows no kernel.

A worker takes single workgroups of a dispatch that has fewer than `AT_ONCE` for each worker, and `AT_ONCE` at a time of
one that has more (block_processor.c of IREE's local-task driver): 38 workgroups are five shares, three for one of two
threads and two for the other. So the size is chosen by the time that a dispatch takes, with several numbers of threads.
"""

from collections.abc import Callable, Sequence
from heapq import heapify, heapreplace

AT_ONCE = 8

THREADS = (2, 3, 4, 6, 8)
"""One compiled kernel serves any number: those that are most often found."""

LATE_BYTES = 64 << 10
"""What a thread reads until the others have begun, some 3 us."""

BEGIN_BYTES = 2 << 10
"""What it could read in the time that a workgroup takes to begin and to end."""

SIZES = tuple(int(16384 * 2 ** (step / 4)) for step in range(25))
"""Of workgroups, bytes of weights: 16 KiB to 1 MiB."""


def best_size(groups: Callable[[int], Sequence[int]]) -> int:
    """Of `SIZES`, that with which dispatches end soonest; groups: a size -> what each workgroup then reads."""
    return min(SIZES, key=lambda size: sum(last_end(groups(size), threads) for threads in THREADS))


def last_end(groups: Sequence[int], threads: int) -> int:
    """When the last of some threads ends, in bytes that one reads until then."""
    at_once = AT_ONCE if len(groups) >= AT_ONCE * threads else 1
    ends = [0] + [LATE_BYTES] * (threads - 1)
    heapify(ends)
    for first in range(0, len(groups), at_once):
        share = groups[first : first + at_once]
        heapreplace(ends, ends[0] + sum(share) + BEGIN_BYTES * len(share))
    return max(ends)
