"""Sizes of a kernel's workgroups, for threads as IREE's workers share them out. Knows no kernel.

A worker takes single workgroups of a dispatch that has fewer than `AT_ONCE` for each worker, and `AT_ONCE` at a time of
one that has more (block_processor.c of IREE's local-task driver): 38 workgroups are five shares, three for one of two
threads and two for the other. A worker that finds nothing to take sleeps after 10 us, and wakes late for what follows.
So sizes are chosen by the time that a dispatch takes, with several numbers of threads, and those of the last workgroups
may be smaller.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from typing import TypeVar

from sharkpack.templates.kernels.emitter import Emitter

Choice = TypeVar("Choice")

AT_ONCE = 8

THREADS = (2, 3, 4, 6, 8)
"""One compiled kernel serves any number: those that are most often found."""

LATE_BYTES = 64 << 10
"""What a thread reads until the others have begun, some 3 us."""

BEGIN_BYTES = 2 << 10
"""What it could read in the time that a workgroup takes to begin and to end."""

PACES = ((1.0, 1.0), (1.0, 1.15), (1.15, 1.0))
"""Threads are not equally fast, and which is the faster one changes: that is what smaller workgroups at the end are
for."""

SIZES = tuple(int(16384 * 2 ** (step / 4)) for step in range(25))
"""Of workgroups, bytes of weights: 16 KiB to 1 MiB."""

TAPERS = tuple((ratio, tail) for ratio in (2, 3, 4) for tail in (2, 4, 6))
"""(how many times larger than the last workgroups those before them are, how many there are of each size)."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Numbers of workgroups and their units of work, in turn: ((count, size), ...)."""

    runs: tuple[tuple[int, int], ...]

    @property
    def groups(self) -> int:
        return sum(count for count, _ in self.runs)

    @property
    def most(self) -> int:
        """Units of the largest."""
        return max(size for _, size in self.runs)

    def sizes(self, total: int) -> list[int]:
        """Returns the size of each workgroup, of `total` units altogether; the last has what is left."""
        found, left = [], total
        for count, size in self.runs:
            for _ in range(count):
                found.append(min(size, left))
                left -= found[-1]
        return found

    def first(self, e: Emitter, group: str) -> str:
        """The first unit of a workgroup, or past the last one's of the workgroup before it."""
        (count, size), *others = self.runs
        if not others:
            return e.mul(group, size)
        end = e.index(count)
        mine = e.minimum(group, end)
        rest = e.op(f"arith.subi {group}, {mine} : index")
        return e.add(e.mul(mine, size), Shares(tuple(others)).first(e, rest))


def even(total: int, size: int) -> Shares:
    """Workgroups of one size."""
    return Shares(((max(1, -(-total // size)), size),))


def tapered(total: int, size: int, ratio: int, tail: int, most: int) -> Shares | None:
    """The last of this size, those before them larger, and the first ones larger still; None for too little work."""
    small, middle, large = size, min(most, size * ratio), min(most, size * ratio * ratio)
    left = total - tail * (small + middle)
    if left < large or small == middle:
        return None
    first, left = divmod(left, large)
    second, left = divmod(left, middle)
    runs = ((first, large), (tail + second, middle), (tail + -(-left // small), small))
    return Shares(runs if middle < large else ((runs[0][0] + runs[1][0], large), runs[2]))


def choices(total: int, unit_bytes: float, most: int) -> Iterator[Shares]:
    """Returns the shares of `total` units of so many bytes, at most so many units each."""
    for size in sorted({min(most, max(1, round(size / unit_bytes))) for size in SIZES}):
        yield even(total, size)
        for ratio, tail in TAPERS:
            if shares := tapered(total, size, ratio, tail, most):
                yield shares


def best(of: Iterable[Choice], groups: Callable[[Choice], Sequence[float]]) -> Choice:
    """That with which dispatches end soonest; groups: what each workgroup then reads, bytes."""

    def end(each: Choice) -> float:
        sizes = groups(each)
        return sum(last_end(sizes, threads, paces) for threads in THREADS for paces in PACES)

    return min(of, key=end)


def last_end(groups: Sequence[float], threads: int, paces: Sequence[float] = (1.0,)) -> float:
    """Returns when the last of some threads ends, in bytes that one reads until then; paces: in turn, how much slower
    than that the threads are."""
    at_once = AT_ONCE if len(groups) >= AT_ONCE * threads else 1
    ends = [(float(LATE_BYTES) * (thread > 0), thread) for thread in range(threads)]
    heapify(ends)
    for first in range(0, len(groups), at_once):
        share = groups[first : first + at_once]
        end, thread = ends[0]
        pace = paces[thread % len(paces)]
        heapreplace(ends, (end + pace * (sum(share) + BEGIN_BYTES * len(share)), thread))
    return max(end for end, _ in ends)
