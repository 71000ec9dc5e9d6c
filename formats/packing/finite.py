"""Returns whether a packed matrix holds numbers only: its floats, or the float16 scales and minimums of its blocks."""

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.packing.layout import PackedLayout, tile_counts
from sharkpack.formats.packing.tiles import tiles_of
from sharkpack.formats.quant.block import Bytes

_FIRST_INFINITE = {"f16": 0x7C00, "bf16": 0x7F80}
"""Of the bits of 16-bit floats without their sign: infinity, and above it NaN."""


def is_finite(layout: PackedLayout, stream: Bytes, columns: int) -> bool:
    """False where `stream`, uint8, whole tiles of rows of `columns` elements, holds a NaN or an infinity."""
    if layout.kind == "float":
        if layout.element_bytes == 4:
            values = stream.view("<f4")
            return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
        return _below(stream.view("<u2"), _FIRST_INFINITE[layout.name])
    across = tile_counts(layout, (16, columns))[1]
    tiles = tiles_of(layout, stream, across)
    parts = [tiles.scales, tiles.mins]
    if layout.kind == "superblock":
        parts += [tiles.d, *([tiles.dmin] if layout.has_min else [])]
    halves = (np.ascontiguousarray(part) for part in parts if part.dtype == np.float16 and part.size)
    return all(_below(part.reshape(-1).view("<u2"), _FIRST_INFINITE["f16"]) for part in halves)


def _below(bits: NDArray[np.uint16], infinite: int) -> bool:
    """Returns whether all are, without their sign: the largest of each sign tells, and nothing is copied."""
    return bool(bits.view("<i2").max() < infinite and bits.max() < 0x8000 + infinite)
