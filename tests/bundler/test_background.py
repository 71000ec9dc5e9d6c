"""A function beside other work: its result, or its error, for whoever waits for it."""

import threading

import pytest

from sharkpack.bundler.background import BackgroundTask


def test_it_runs_beside_and_gives_its_result() -> None:
    go = threading.Event()
    aside = BackgroundTask(lambda: (go.wait(60), threading.get_ident()))
    go.set()
    assert aside.result() == (True, aside.result()[1])
    assert aside.result()[1] != threading.get_ident()


def test_its_error_is_raised_to_who_waits() -> None:
    aside: BackgroundTask[int] = BackgroundTask(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            aside.result()
