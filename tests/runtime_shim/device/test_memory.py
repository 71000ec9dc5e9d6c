"""The part of a range that gets huge pages, as Linux reports it."""

import mmap
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sharkpack.runtime_shim.device.memory import HUGE_PAGE_BYTES, SMALL_PAGES_FIRST, use_huge_pages

pytestmark = pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists(), reason="this kernel has no transparent huge pages"
)


@pytest.mark.parametrize("nbytes", [4096, SMALL_PAGES_FIRST, SMALL_PAGES_FIRST + HUGE_PAGE_BYTES // 2])
def test_a_small_cache_stays_in_small_pages(nbytes: int) -> None:
    with mmap.mmap(-1, nbytes) as memory:
        start = np.frombuffer(memory, np.uint8).ctypes.data
        use_huge_pages(start, nbytes)
        assert not list(_huge_parts(start, start + nbytes))


def test_a_large_one_has_huge_pages_beyond_its_beginning() -> None:
    nbytes = SMALL_PAGES_FIRST + 8 * HUGE_PAGE_BYTES
    with mmap.mmap(-1, nbytes) as memory:
        start = np.frombuffer(memory, np.uint8).ctypes.data
        use_huge_pages(start + 64, nbytes - 64)  # as an allocator gives it: not at the beginning of a page
        ((first, last),) = _huge_parts(start, start + nbytes)
        assert start + 64 + SMALL_PAGES_FIRST <= first < start + 64 + SMALL_PAGES_FIRST + HUGE_PAGE_BYTES
        assert start + nbytes - HUGE_PAGE_BYTES < last <= start + nbytes
        assert first % HUGE_PAGE_BYTES == last % HUGE_PAGE_BYTES == 0


def _huge_parts(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The mapped parts of start..end that are advised to have huge pages ("hg")."""
    low = high = 0
    for line in Path("/proc/self/smaps").read_text("ascii", errors="replace").splitlines():
        found = re.match("([0-9a-f]+)-([0-9a-f]+) ", line)
        if found:
            low, high = (int(number, 16) for number in found.groups())
        elif line.startswith("VmFlags:") and " hg" in line and start <= low and high <= end:
            yield low, high
