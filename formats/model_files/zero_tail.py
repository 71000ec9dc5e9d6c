"""Weight files that end in zeros because their download broke off: the file has its size, and its end never came."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line

_LEAST = 4096
"""Bytes of zeros at the end that are looked into: downloaders write blocks of at least as many."""
_BLOCK = 1 << 20
_ROOM = 16
"""Bytes at the end of a row that may be zeros of its own."""


class PlacedTensor(Protocol):
    """The place of a tensor in its file: `offset` and `nbytes` in bytes, `shape` row-major."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def offset(self) -> int: ...
    @property
    def nbytes(self) -> int: ...


def refuse_zero_tail(path: Path, data: NDArray[np.uint8], tensors: Iterable[PlacedTensor]) -> None:
    """Raise SharkpackError where the zeros at the end of `data`, uint8 [file size], begin inside a tensor's row.

    Zeros that begin with a tensor or a row are taken for weights: rows of tokens that nothing uses often are zero.
    Reads the last page of a sound file.
    """
    start = _zeros_from(data)
    if len(data) - start < _LEAST:
        return
    for tensor in tensors:
        into = start - tensor.offset
        if 0 < into < tensor.nbytes and into % (tensor.nbytes // _rows(tensor)) > _ROOM:
            raise SharkpackError(
                f"{path}: its last {len(data) - start} bytes, from inside tensor '{one_line(tensor.name)}' on, are "
                "zeros: its download broke off; download it again"
            )


def _rows(tensor: PlacedTensor) -> int:
    rows = 1
    for size in tensor.shape[:-1]:
        rows *= size
    return max(rows, 1)


def _zeros_from(data: NDArray[np.uint8]) -> int:
    """Returns where the zeros at its end begin."""
    end, step = len(data), _LEAST
    while end:
        block = data[max(end - step, 0) : end]
        if block.any():
            return end - int(np.argmax(block[::-1] != 0))
        end, step = end - len(block), _BLOCK
    return 0
