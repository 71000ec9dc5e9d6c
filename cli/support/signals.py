"""Signals that end a process, as exceptions: what was begun is cleaned up, whichever way the end comes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}


class Stopped(KeyboardInterrupt):
    """Raised in the main thread when SIGTERM or SIGHUP arrives; unwinds as Ctrl-C does."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise Stopped at the first SIGTERM or SIGHUP; later ones are ignored, so that the cleaning up is not cut short.

    A signal that the parent process told us to ignore (nohup) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():  # only that thread may set handlers
        yield
        return
    previous = {number: signal.getsignal(number) for number in _ENDING}
    ours = [number for number, handler in previous.items() if handler == signal.SIG_DFL]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, previous[number])


def ending(interrupt: KeyboardInterrupt) -> tuple[str, int]:
    """Returns the message of the signal that ended the work, and its exit status: 128 and its number."""
    number = interrupt.number if isinstance(interrupt, Stopped) else signal.SIGINT
    return _WORDS[signal.Signals(number)], 128 + number
