"""Background threads: a function's result or error, and prefetched items, the same and in the same order."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from sharkpack.bundler.background import BackgroundTask, prefetch


def test_it_runs_beside_and_gives_its_result() -> None:
    go = threading.Event()
    task = BackgroundTask(lambda: (go.wait(60), threading.get_ident()))
    go.set()
    assert task.result() == (True, task.result()[1])
    assert task.result()[1] != threading.get_ident()


def test_its_error_is_raised_to_who_waits() -> None:
    task: BackgroundTask[int] = BackgroundTask(lambda: 1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            task.result()


def test_the_same_items_in_the_same_order() -> None:
    assert list(prefetch(iter(range(100)), 3)) == list(range(100))
    assert list(prefetch(iter([None, 0]), 8)) == [None, 0]
    assert list(prefetch(iter([]), 8)) == []


def test_items_are_prefetched_in_one_other_thread() -> None:
    made: list[int] = []
    threads: set[int] = set()
    enough = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            threads.add(threading.get_ident())
            made.append(number)
            if number == 3:
                enough.set()
            yield number

    with closing(prefetch(items(), 3)) as taken:
        assert next(taken) == 0
        assert enough.wait(), "1, 2 and 3 are made once 0 is taken"
        assert made == [0, 1, 2, 3]
    assert threads.isdisjoint({threading.get_ident()})
    assert len(threads) == 1


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no second")

    taken = prefetch(items(), 4)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="no second"):
        next(taken)


def test_closing_ends_the_thread() -> None:
    def items() -> Iterator[int]:
        while True:
            yield 0

    before = threading.active_count()
    taken = prefetch(items(), 2)
    next(taken)
    assert threading.active_count() == before + 1
    taken.close()
    assert threading.active_count() == before
