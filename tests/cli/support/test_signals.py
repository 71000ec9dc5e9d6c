"""SIGTERM and SIGHUP unwind the work as Ctrl-C does, once; what the parent told us to ignore stays ignored."""

import os
import signal
from collections.abc import Iterator

import pytest

from sharkpack.cli.support.signals import Stopped, ending, stop_on_signals


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_DFL) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "words", "status"), [(signal.SIGTERM, "terminated", 143), (signal.SIGHUP, "hung up", 129)]
)
def test_the_first_signal_unwinds_and_the_second_does_not_cut_that_short(
    number: signal.Signals, words: str, status: int
) -> None:
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            cleaned.append(True)

    with pytest.raises(Stopped) as caught, stop_on_signals():
        work()
    assert cleaned
    assert ending(caught.value) == (words, status)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_process_under_nohup_does_not_hang_up() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_ctrl_c() -> None:
    assert ending(KeyboardInterrupt()) == ("interrupted", 130)
