"""Times the steps of a build while a Progress shows them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sharkpack.bundler.progress import Advance, Progress


class Steps:
    """Call it with a step's name for a context manager; `seconds` has what each took, in order, repeats added up."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, total: int | None = None) -> Iterator[Advance]:
        start = time.perf_counter()
        with self._progress.step(name, total) as advance:
            yield advance
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
