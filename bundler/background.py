"""Runs a function in a background thread, whose result can be waited for."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class BackgroundTask(Generic[T]):
    """Begins at once. Nobody needs to wait for it: what is not asked for ends with the process."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sharkpack-aside", daemon=True)
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
