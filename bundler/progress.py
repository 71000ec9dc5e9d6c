"""Protocols for the progress of long work."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Advance(Protocol):
    def advance(self, n: int) -> None: ...


class Progress(Protocol):
    """Shows steps; `total` is in whatever unit the step advances by, None where it is not known. `shown` says whether
    anybody sees them."""

    @property
    def shown(self) -> bool: ...

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]: ...


StartStep = Callable[[str, int | None], AbstractContextManager[Advance]]
"""Begins a step of that name and total, as `Progress.step` does, and `Steps`."""
