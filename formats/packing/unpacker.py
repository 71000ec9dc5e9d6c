"""From the packed stream back to float32: the reference that kernels are compared with, of all rows or a few."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.packing.layout import BLOCK_K, ROWS_PER_TILE, PackedLayout, packed_nbytes, tile_counts
from sharkpack.formats.packing.tiles import Tiles, tiles_of
from sharkpack.formats.quant import DecodedBlocks, block_values
from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quant.types import float_values

_SLAB_ELEMENTS = 1 << 20


def unpack(layout: PackedLayout, packed: Bytes, shape: Sequence[int]) -> Floats:
    """float32 of `shape` (rows, k): equal, bit for bit, to `dequantize` of what was packed."""
    rows, columns = shape
    values = np.empty((rows, columns), np.float32)
    step = max(_SLAB_ELEMENTS // columns, 1)
    for start in range(0, rows, step):
        end = min(start + step, rows)
        values[start:end] = unpack_rows(layout, packed, shape, np.arange(start, end))
    return values


def unpack_rows(layout: PackedLayout, packed: Bytes, shape: Sequence[int], rows: NDArray[np.integer[Any]]) -> Floats:
    """float32 [len(rows), k]: those rows (1-D, 0-based, any order, repeats allowed) of a packed matrix of `shape`.

    SharkpackError if `packed` is not the size of such a matrix or a row is outside it.
    """
    expected = packed_nbytes(layout, shape)
    if packed.size != expected or packed.dtype != np.uint8:
        raise SharkpackError(
            f"A {layout.name} matrix of shape {tuple(shape)} packs to {expected} bytes, found {packed.nbytes}."
        )
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) < shape[0]:
        raise SharkpackError(f"Row {int(rows.min())} or {int(rows.max())} is outside a matrix of {shape[0]} rows.")
    tile, lane = np.divmod(rows.astype(np.int64), ROWS_PER_TILE)
    if layout.kind == "float":
        elements = packed.reshape(-1, shape[1], ROWS_PER_TILE, layout.element_bytes)[tile, :, lane]
        return float_values(layout.name, elements.reshape(len(rows), shape[1] * layout.element_bytes))
    across = tile_counts(layout, shape)[1]
    tiles = tiles_of(layout, packed, across)
    values = block_values(layout.quant, _decode(tiles, tile, lane))
    return values.reshape(len(rows), across * layout.tile_k)[:, : shape[1]]


def _decode(tiles: Tiles, tile: NDArray[np.int64], lane: NDArray[np.int64]) -> DecodedBlocks:
    """The blocks of those rows. What the format calls a block here is a sub-block, or a super-block, of one row."""
    layout = tiles.layout
    codes = np.stack([_codes(tiles, block, tile, lane) for block in range(layout.blocks_per_tile)], axis=2)
    subs = layout.sub_blocks if layout.kind == "superblock" else 1

    def of_rows(parameter: NDArray[Any]) -> NDArray[Any]:
        return parameter[tile, ..., lane].reshape(-1, subs)

    parts = _scales(layout, of_rows(tiles.scales), len(codes) * codes.shape[1])
    if layout.min_bytes:
        parts["mins"] = of_rows(tiles.mins)
    if layout.kind == "superblock":
        parts["d"] = tiles.d[tile, :, lane].reshape(-1)
        if layout.has_min:
            parts["dmin"] = tiles.dmin[tile, :, lane].reshape(-1)
    return DecodedBlocks(codes=codes.reshape(-1, subs, layout.sub_block), **parts)


def _scales(layout: PackedLayout, stored: NDArray[Any], blocks: int) -> dict[str, NDArray[Any]]:
    """Scales, and minimums that share their bytes, of so many blocks."""
    match layout.scale_type:
        case "none":
            return {"scales": np.ones((blocks, layout.sub_blocks), np.int8)}
        case "nibbles":
            return {"scales": stored & np.uint8(15), "mins": stored >> np.uint8(4)}
        case "bfloat16":
            return {"scales": (stored.astype(np.uint32) << 16).view(np.float32)}
        case _:
            return {"scales": stored}


def _codes(tiles: Tiles, block: int, tile: NDArray[np.int64], lane: NDArray[np.int64]) -> Bytes:
    """Codes of block `block` of each tile of those rows, uint8 [row, across, 32]."""
    vectors = np.ascontiguousarray(tiles.words(block)[tile, :, :, lane]).view(np.uint8)
    if tiles.layout.bits == 8:
        return vectors
    if tiles.layout.bits < 4:
        codes = _pairs_of_bits(vectors)
    else:
        codes = np.concatenate([vectors[..., :16] & 15, vectors[..., :16] >> 4], axis=-1)
    if tiles.layout.has_bit_plane:
        fields = tiles.top_bits(block)[tile, :, :, lane // 2] >> (4 * (lane % 2)).astype(np.uint8)[:, None, None]
        bits = np.unpackbits(fields[..., None], axis=-1, bitorder="little")[..., :4]
        codes |= (bits << (tiles.layout.bits - 1)).reshape(codes.shape)
    elif tiles.layout.bits == 6:
        codes |= _pairs_of_bits(vectors[..., 16:]) << np.uint8(4)
    assert codes.shape[-1] == BLOCK_K
    return codes


def _pairs_of_bits(vectors: Bytes) -> Bytes:
    """[row, across, 8], two vectors of one row, to the 32 numbers of 2 bits in them."""
    fields = vectors.reshape(*vectors.shape[:2], 2, 1, 4) >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    return (fields & np.uint8(3)).reshape(*vectors.shape[:2], BLOCK_K)
