"""A matrix that cannot be packed, and bytes that cannot be unpacked, are refused with the sizes that do not fit."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.packing import LAYOUTS, layout_named, pack, pack_slabs, packed_nbytes, unpack, unpack_rows


def zeros(name: str, rows: int, columns: int) -> NDArray[np.uint8]:
    return np.zeros(LAYOUTS[name].quant.nbytes(rows * columns), np.uint8)


def test_layouts_are_found_by_the_name_of_the_type() -> None:
    assert layout_named("Q4_K") is LAYOUTS["q4_k"]
    with pytest.raises(SharkpackError, match="Quantisation type Q8_K is not supported"):
        layout_named("Q8_K")


def test_what_cannot_be_packed_is_refused_at_the_call() -> None:
    layout = LAYOUTS["q4_k"]
    raw = zeros("q4_k", 2, 256)
    with pytest.raises(SharkpackError, match=r"\(2, 128\) cannot be packed as q4_k: .* a multiple of 256\."):
        pack_slabs(layout, raw, (2, 128))
    with pytest.raises(SharkpackError, match=r"\(512,\) cannot be packed as q4_k: a matrix is needed"):
        packed_nbytes(layout, (512,))
    with pytest.raises(SharkpackError, match=r"takes 432 bytes, found 288"):
        pack_slabs(layout, raw, (3, 256))
    for order in ([0, 0], [0, 2], [1]):
        with pytest.raises(SharkpackError, match="The row order is no permutation of the 2 rows"):
            pack_slabs(layout, raw, (2, 256), np.array(order))


def test_what_cannot_be_unpacked_is_refused() -> None:
    layout = LAYOUTS["q8_0"]
    packed = pack(layout, zeros("q8_0", 2, 64), (2, 64))
    with pytest.raises(SharkpackError, match=r"q8_0 matrix of shape \(17, 64\) packs to 2176 bytes, found 1088"):
        unpack(layout, packed, (17, 64))
    for rows in ([2], [-1, 0]):
        with pytest.raises(SharkpackError, match=r"outside a matrix of 2 rows"):
            unpack_rows(layout, packed, (2, 64), np.array(rows))
