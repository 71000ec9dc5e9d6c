"""From a tensor's bytes in the file to the packed stream, without loss, a slab of rows at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.packing.encode import ENCODERS
from sharkpack.formats.packing.encode_codes import encode_codes
from sharkpack.formats.packing.layout import ROWS_PER_TILE, PackedLayout, packed_nbytes, tile_counts
from sharkpack.formats.packing.tiles import tiles_of
from sharkpack.formats.quant.block import Bytes
from sharkpack.formats.quant.types import check_blocks

_SLAB_BYTES = 1 << 20

RowOrder = NDArray[np.integer[Any]]
ReadRows = Callable[[slice | RowOrder], Bytes]
"""Gives the rows of a matrix that an index picks, uint8 [rows, row bytes]."""


def pack(layout: PackedLayout, raw: Bytes, shape: Sequence[int], row_order: RowOrder | None = None) -> Bytes:
    """The packed stream, uint8 [packed_nbytes(layout, shape)], of a matrix of `shape` (rows, k) in GGML's bytes `raw`.

    With `row_order`, a permutation of the rows, row i of the result is row row_order[i] of the source.
    SharkpackError if bytes, shape and order do not agree.
    """
    packed = np.empty(packed_nbytes(layout, shape), np.uint8)
    at = 0
    for slab in pack_slabs(layout, raw, shape, row_order):
        packed[at : at + slab.size] = slab
        at += slab.size
    return packed


def pack_slabs(
    layout: PackedLayout, raw: Bytes, shape: Sequence[int], row_order: RowOrder | None = None
) -> Iterator[Bytes]:
    """The same stream in consecutive pieces, each a new uint8 array of a megabyte or so (or one tile of rows).

    The arguments are checked at the call, before the first piece is asked for.
    """
    tile_counts(layout, shape)
    source = check_blocks(layout.quant, raw, shape).reshape(shape[0], -1)
    return pack_rows(layout, source.__getitem__, shape, row_order)


def pack_rows(
    layout: PackedLayout, read: ReadRows, shape: Sequence[int], row_order: RowOrder | None = None
) -> Iterator[Bytes]:
    """Packs a matrix that is read a slab of rows at a time and never whole."""
    tile_counts(layout, shape)
    order = None if row_order is None else _checked_order(row_order, shape[0])
    return _slabs(layout, read, shape, order)


def _slabs(layout: PackedLayout, read: ReadRows, shape: Sequence[int], order: RowOrder | None) -> Iterator[Bytes]:
    rows, columns = shape
    row_bytes = layout.quant.nbytes(columns)
    step = ROWS_PER_TILE * max(_SLAB_BYTES // (ROWS_PER_TILE * row_bytes), 1)
    for start in range(0, rows, step):
        index = slice(start, min(start + step, rows))
        yield _pack_rows(layout, read(index if order is None else order[index]), columns)


def _checked_order(order: RowOrder, rows: int) -> RowOrder:
    if order.shape != (rows,) or not np.array_equal(np.sort(order), np.arange(rows)):
        raise SharkpackError(f"The row order is no permutation of the {rows} rows.")
    return order


def _whole_tiles(part: Bytes) -> Bytes:
    """Zero rows appended up to a multiple of 16."""
    missing = -len(part) % ROWS_PER_TILE
    return part if not missing else np.concatenate([part, np.zeros((missing, part.shape[1]), np.uint8)])


def _pack_rows(layout: PackedLayout, part: Bytes, columns: int) -> Bytes:
    """uint8 stream of the rows `part`, uint8 [rows, row bytes]."""
    source = _whole_tiles(part)
    down, across = tile_counts(layout, (len(source), columns))
    if layout.kind == "float":
        elements = source.view(f"<u{layout.element_bytes}").reshape(down, ROWS_PER_TILE, columns)
        return np.ascontiguousarray(elements.transpose(0, 2, 1)).view(np.uint8).reshape(-1)
    stream = np.zeros(down * across * layout.tile_bytes, np.uint8)
    tiles = tiles_of(layout, stream, across)
    blocks = source.reshape(down, ROWS_PER_TILE, columns // layout.super_block, layout.quant.block_bytes)
    ENCODERS.get(layout.name, encode_codes)(blocks, tiles)
    if len(part) < len(source):  # a block of zero bytes need not be one of zero codes and scales
        tiles.clear_rows(len(part) % ROWS_PER_TILE)
    return stream
