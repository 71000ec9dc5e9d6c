"""Background threads: one that runs a function, and one that prefetches the items of an iterator."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")

_END = object()


class BackgroundTask(Generic[T]):
    """Runs a function in a thread from now on. Nobody needs to wait for it: it ends with the process."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sharkpack-background", daemon=True)
        self._thread.start()

    def result(self) -> T:
        """Wait for it; returns or raises what the function did."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self._error = error


def prefetch(items: Iterator[T], count: int) -> Generator[T, None, None]:
    """Yields `items`, up to `count` of them made in advance. What making one raises is raised in its place.

    Close it unless it is exhausted: the thread may be making an item.
    """
    thread = ThreadPoolExecutor(max_workers=1)
    try:
        waiting = deque(thread.submit(next, items, _END) for _ in range(count))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(thread.submit(next, items, _END))
            yield item  # type: ignore[misc]
    finally:
        thread.shutdown(cancel_futures=True)
