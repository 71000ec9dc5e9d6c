"""Memory: how much this machine lets us use, what of it a cache may take, in which pages, and giving some back."""

import contextlib
import ctypes
import os
import sys

from sharkpack.formats.host.control_group import memory_limit

HUGE_PAGE = 14
"""MADV_HUGEPAGE of Linux."""
HUGE_PAGE_BYTES = 2 << 20
SMALL_PAGES_FIRST = 8 << 20
"""Bytes of a cache that stay in small pages: a short text shall not take memory that it does not fill."""


def usable_memory() -> int:
    """Bytes of physical memory, or what the control group allows where that is less."""
    try:
        physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        physical = 8 << 30  # not a POSIX system; a modest machine
    return min(physical, memory_limit() or physical)


def default_cache_pages(*, pages_per_sequence: int, sequences: int, page_bytes: int, memory: int) -> int:
    """Pages for `sequences` whole contexts, less if that is over a quarter of `memory`, never less than one context."""
    affordable = memory // 4 // page_bytes
    return max(pages_per_sequence, min(sequences * pages_per_sequence, affordable))


def use_huge_pages(address: int, nbytes: int) -> None:
    """Have Linux take pages of 2 MiB for what lies beyond the first 8 MiB of a range that nothing has touched.

    A long context is read faster so, as its addresses are translated fewer times. It costs at most 2 MiB of memory.
    """
    start = -(-(address + SMALL_PAGES_FIRST) // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES
    end = (address + nbytes) // HUGE_PAGE_BYTES * HUGE_PAGE_BYTES
    if sys.platform == "linux" and start < end:  # a kernel without them refuses, and nothing has changed
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), HUGE_PAGE)


def give_back_freed_memory() -> None:
    """Return to the system what the C library keeps of freed memory: 27 MB after loading Gemma's tokenizer."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
