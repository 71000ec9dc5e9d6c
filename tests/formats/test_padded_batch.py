"""Batches: what stands where no token, page or sequence is, in new arrays and in those that another call filled."""

from typing import NamedTuple

import numpy as np

from sharkpack.formats.padded_batch import PaddedBatch


class PaddedRow(NamedTuple):
    tokens: list[int]
    start: int
    pages: list[int]


LONG, SHORT = PaddedRow([5, 6, 7], 0, [1, 2]), PaddedRow([9], 40, [3])


def _lists(batch: PaddedBatch) -> dict[str, object]:
    return {role: array.tolist() for role, array in batch.by_role().items()}


def test_rows_are_padded() -> None:
    assert _lists(PaddedBatch.of([LONG, SHORT], 3)) == {
        "tokens": [[5, 6, 7], [9, 0, 0], [0, 0, 0]],
        "start_positions": [0, 40, 0],
        "seq_lens": [3, 41, 1],
        "page_table": [[1, 2], [3, 0], [0, 0]],
    }
    assert all(array.dtype == np.int64 for array in PaddedBatch.of([SHORT], 1).by_role().values())


def test_arrays_that_were_filled_before_hold_nothing_of_that() -> None:
    batch = PaddedBatch.of([LONG, LONG, LONG], 3)
    batch.write_tokens([SHORT])
    batch.write_pages([SHORT])
    assert _lists(batch) == {
        "tokens": [[9, 0, 0], [0, 0, 0], [0, 0, 0]],
        "start_positions": [40, 0, 0],
        "seq_lens": [41, 1, 1],
        "page_table": [[3, 0], [0, 0], [0, 0]],
    }


def test_one_token_a_row_fills_the_batch_exactly() -> None:
    batch = PaddedBatch.of([SHORT, PaddedRow([2], 7, [4])], 2)
    assert _lists(batch) == {
        "tokens": [[9], [2]],
        "start_positions": [40, 7],
        "seq_lens": [41, 8],
        "page_table": [[3], [4]],
    }
