"""How much memory this machine lets us use, how much of it a cache may take, and how to give some back."""

import contextlib
import ctypes
import os

from sharkpack.runtime_shim.control_group import memory_limit


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


def give_back_freed_memory() -> None:
    """Return to the system what the C library keeps of freed memory: 27 MB after loading Gemma's tokenizer."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
