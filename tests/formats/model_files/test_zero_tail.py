"""A file whose end never came is told from one whose last weights are zero."""

from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.safetensors_index import SafetensorsTensor
from sharkpack.formats.model_files.zero_tail import refuse_zero_tail

COLUMNS, ROWS, START = 512, 100, 64
TENSORS = [
    SafetensorsTensor(
        name=name, dtype="F32", shape=(ROWS, COLUMNS), offset=START + i * 4 * ROWS * COLUMNS, nbytes=4 * ROWS * COLUMNS
    )
    for i, name in enumerate(("first", "last"))
]


def _file(zeros_from: int) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    data = np.full(TENSORS[-1].offset + TENSORS[-1].nbytes, 1, np.uint8)
    data[zeros_from:] = 0
    return data


@pytest.mark.parametrize("tensor", TENSORS, ids=lambda tensor: tensor.name)
def test_zeros_from_inside_a_row_on(tensor: SafetensorsTensor) -> None:
    with pytest.raises(SharkpackError, match=f"from inside tensor '{tensor.name}' on, are zeros: its download broke"):
        refuse_zero_tail(Path("x"), _file(tensor.offset + 10 * 4 * COLUMNS + 1000), TENSORS)


@pytest.mark.parametrize(
    "zeros_from",
    [
        TENSORS[1].offset,
        TENSORS[1].offset + 50 * 4 * COLUMNS,
        TENSORS[1].offset + 50 * 4 * COLUMNS + 3,
        TENSORS[1].offset + TENSORS[1].nbytes - 2000,
        TENSORS[1].offset + TENSORS[1].nbytes,
        0,
    ],
)
def test_weights_that_are_zero(zeros_from: int) -> None:
    refuse_zero_tail(Path("x"), _file(zeros_from), TENSORS)
