"""Progress of long work: protocols for what shows it, and the times of its steps."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Counts done units of a step."""

    def advance(self, n: int) -> None: ...


class Progress(Protocol):
    """Shows steps; `total` is in whatever unit the step advances by, None where it is not known. `shown` says whether
    anybody sees them."""

    @property
    def shown(self) -> bool: ...

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]: ...


StartStep = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Begins a step of that name and total, as `Progress.step` does, and `Steps`."""


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
