"""Encodes the blocks of any super-block type without minimums as tiles: decoded to codes, and these packed again.

Slower than encode.py by some, for types whose codes come out of a codebook or are digits of a number.
"""

import numpy as np

from sharkpack.formats.packing.layout import BLOCK_K, ROWS_PER_TILE
from sharkpack.formats.packing.tiles import Tiles, Words
from sharkpack.formats.quant.block import Bytes


def encode_codes(blocks: Bytes, tiles: Tiles) -> None:
    """Fill the tiles of a slab with its blocks, uint8 [down, row, block, block_bytes]."""
    layout, (down, rows, across) = tiles.layout, blocks.shape[:3]
    assert layout.quant.decode is not None
    parts = layout.quant.decode(np.ascontiguousarray(blocks).reshape(-1, blocks.shape[3]))
    words = parts.codes.reshape(down, rows, across, layout.blocks_per_tile, BLOCK_K).view("<u4")
    for b in range(layout.blocks_per_tile):
        _put_codes(np.ascontiguousarray(words[:, :, :, b].transpose(3, 0, 2, 1)), tiles, b)
    if layout.scale_bytes:
        tiles.scales[...] = parts.scales.reshape(down, rows, across, -1).transpose(0, 2, 3, 1)
    assert parts.d is not None
    tiles.d[...] = parts.d.reshape(down, rows, across).transpose(0, 2, 1)


def _put_codes(groups: Words, tiles: Tiles, block: int) -> None:
    """The codes of one block of each tile, uint32 [group, down, across, row] of 4 codes each, of 2, 3 or 4 bits."""
    bits = tiles.layout.bits
    if bits == 4:
        vectors = groups[:4] | (groups[4:] << np.uint32(4))
    else:
        shifts = np.arange(0, 8, 2, dtype=np.uint32).reshape(1, 4, 1, 1, 1)
        pairs = (groups & np.uint32(0x03030303)).reshape(2, 4, *groups.shape[1:]) << shifts
        vectors = np.bitwise_or.reduce(pairs, axis=1)
    tiles.words(block)[...] = vectors.transpose(1, 2, 0, 3)
    if bits == 3:
        codes = groups.view(np.uint8).reshape(*groups.shape[:3], 4 * ROWS_PER_TILE)
        plane = np.packbits(codes & np.uint8(4), axis=-1, bitorder="little")
        tiles.top_bits(block)[...] = plane.transpose(1, 2, 0, 3)
