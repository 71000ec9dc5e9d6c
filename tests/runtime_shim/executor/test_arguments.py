"""Arguments: what the device reads after each call's rows were written, whatever was written before."""

import iree.runtime as rt
import numpy as np
import pytest

from sharkpack.runtime_shim.executor.arguments import Arguments
from sharkpack.runtime_shim.executor.protocol import SequenceChunk


@pytest.fixture
def arguments() -> Arguments:
    return Arguments(rt.get_device("local-sync").allocator, rows=4, tokens=24, pages=6)


def _read(view: rt.HalBufferView) -> list[object]:
    found: list[object] = view.map().asarray(view.shape, np.dtype(np.int64)).tolist()
    return found


def _fill(arguments: Arguments, rows: list[SequenceChunk], batch: int) -> list[list[object]]:
    return [_read(view) for view in arguments.fill(rows, batch)]


def test_rows_and_padding(arguments: Arguments) -> None:
    tokens, starts, lengths, pages = _fill(
        arguments, [SequenceChunk([7, 8, 9], 5, [2, 3, 4]), SequenceChunk([1], 0, [5])], 4
    )
    assert tokens == [[7, 8, 9], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert (starts, lengths) == ([5, 0, 0, 0], [8, 1, 1, 1])
    assert pages == [[2, 3, 4, 0], [5, 0, 0, 0], [0] * 4, [0] * 4]


def test_whatever_was_written_before(arguments: Arguments) -> None:
    """Pages that stay are not written again; each of these calls changes something else."""
    first = [1, 2]
    calls = [
        ([SequenceChunk([3] * 6, 0, [9]), SequenceChunk([4] * 6, 0, [8])], 4),
        ([SequenceChunk([5], 6, [9]), SequenceChunk([6], 6, [8])], 2),
        ([SequenceChunk([5], 7, [9]), SequenceChunk([6], 7, [8])], 2),
        ([SequenceChunk([5], 7, [9])], 2),
        ([SequenceChunk([5], 8, first)], 1),
        ([SequenceChunk([5], 9, first)], 1),
        ([SequenceChunk([5, 5], 10, first)], 1),
        ([SequenceChunk([5], 40, [1, 2, 3, 4, 5])], 1),
        ([SequenceChunk([5], 41, [1, 2, 3, 4, 6])], 1),
        ([SequenceChunk([5], 8, first)], 1),
    ]
    for rows, batch in calls:
        fresh = Arguments(rt.get_device("local-sync").allocator, rows=4, tokens=24, pages=6)
        assert _fill(arguments, rows, batch) == _fill(fresh, rows, batch)
    first.append(3)  # the sequence has grown
    assert _fill(arguments, [SequenceChunk([5], 20, first)], 1)[3] == [[1, 2, 3, 0]]


def test_views_of_a_shape_are_made_once(arguments: Arguments) -> None:
    views = arguments.fill([SequenceChunk([1], 0, [1])], 1)
    assert all(a is b for a, b in zip(arguments.fill([SequenceChunk([2], 1, [1])], 1), views, strict=True))
