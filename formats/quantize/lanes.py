"""Blocks side by side: a block's elements down, blocks across, so that whole arrays do what a loop over blocks would.

Sums down a column add in the order of the elements, as the C code does: that is what makes results equal to the bit.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.quant.block import Bytes, Floats

_LINE = 64
TINY = np.float32(1e-15)  # a block whose values are all smaller is stored as zeros


def lanes(values: Floats, elements: int) -> Floats:
    """[elements, n] contiguous: column i holds the i-th run of `elements` values."""
    columns = values.reshape(-1, elements).T
    found = aligned(columns.shape)
    found[...] = columns
    return found


def aligned(shape: tuple[int, ...]) -> Floats:
    """An array that begins with a cache line: numpy's vectors then never cross two, which halves their time."""
    nbytes = 4 * math.prod(shape)
    room = np.empty(nbytes + _LINE, np.uint8)
    start = -room.ctypes.data % _LINE
    found: Floats = room[start : start + nbytes].view(np.float32).reshape(shape)
    return found


def extremes(x: Floats) -> Floats:
    """[n]: of each column the value furthest from zero, the first of them where two are equally far."""
    high, low = x.max(axis=0), x.min(axis=0)
    found: Floats = np.where(high > -low, high, low)
    tied = np.flatnonzero(high == -low)
    if tied.size:
        columns = x[:, tied]
        found[tied] = columns[np.abs(columns).argmax(axis=0), np.arange(tied.size)]
    return found


def reciprocals(x: Floats) -> Floats:
    """1 / x, and 0 where x is 0."""
    with np.errstate(divide="ignore"):
        return np.where(x == 0, np.float32(0), np.float32(1) / x)


def codes_of(x: Floats) -> Bytes:
    """Whole numbers 0..255 [elements, n] as uint8 [n, elements]: back to one block after the other."""
    return np.ascontiguousarray(x.astype(np.uint8).T)


def half_bytes(x: Floats) -> Bytes:
    """[n] as the bytes of float16: [n, 2]."""
    with np.errstate(over="ignore"):
        halves: NDArray[np.float16] = x.astype("<f2")
    return halves.view(np.uint8).reshape(-1, 2)


def through_half(x: Floats) -> Floats:
    """[n] as a reader will find them once they are stored as float16."""
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)
