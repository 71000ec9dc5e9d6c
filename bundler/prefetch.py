"""Prefetches the items of an iterator in a thread. Knows nothing of what they are."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_END = object()


def prefetch(items: Iterator[T], count: int) -> Generator[T, None, None]:
    """`items`, up to `count` of them made before they are asked for. What making one raises is raised in its place.

    Close it unless it is exhausted: the thread may be making an item."""
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        waiting = deque(thread.submit(next, items, _END) for _ in range(count))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(thread.submit(next, items, _END))
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(cancel_futures=True)
