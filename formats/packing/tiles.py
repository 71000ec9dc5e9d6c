"""Named views on a packed stream, one for each part of a tile: what the packer writes and the unpacker reads."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.packing.layout import ROWS_PER_TILE, PackedLayout
from sharkpack.formats.quant.block import Bytes

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """Tiles of a layout that has blocks: `data` uint8 [down, across, tile_bytes]. Views, never copies.

    A word is 4 bytes of codes of one row (4 consecutive k), so 16 words are one vector of a kernel.
    """

    layout: PackedLayout
    data: Bytes

    def words(self, block: int) -> Words:
        """Vectors of block `block` of each tile, uint32 [down, across, vectors, row].

        8 bits: 8 vectors of codes. 2 and 3: 2, of pairs of bits. Else 4, of nibbles; with 6 bits 2 more, of pairs.
        """
        start = block * self.layout.block_bytes
        end = start + (self.layout.plane_offset if self.layout.has_bit_plane else self.layout.block_bytes)
        return self._rows_of("<u4", start, end)

    def top_bits(self, block: int) -> Bytes:
        """The bit plane of block `block`, uint8 [down, across, group, 8]: byte i has the bits of rows 2i and 2i + 1."""
        start = block * self.layout.block_bytes + self.layout.plane_offset
        return self.data[..., start : start + 64].reshape(*self.data.shape[:2], 8, 8)

    @property
    def scales(self) -> NDArray[Any]:
        """[down, across, sub-block, row], of the scales' own type (bfloat16 as uint16); no sub-blocks if none."""
        return self._parameters(self.layout.scales_offset(), self.layout.scale_bytes)

    @property
    def mins(self) -> NDArray[Any]:
        """[down, across, sub-block, row], of the minimums' own type; no sub-blocks if none stand beside the scales."""
        return self._parameters(self.layout.mins_offset(), self.layout.min_bytes)

    @property
    def d(self) -> NDArray[np.float16]:
        """[down, across, row]."""
        return self._rows_of("<f2", self.layout.d_offset, self.layout.d_offset + 2 * ROWS_PER_TILE)[:, :, 0]

    @property
    def dmin(self) -> NDArray[np.float16]:
        """[down, across, row]."""
        return self._rows_of("<f2", self.layout.dmin_offset, self.layout.dmin_offset + 2 * ROWS_PER_TILE)[:, :, 0]

    def _parameters(self, start: int, nbytes: int) -> NDArray[Any]:
        dtype = {"float16": "<f2", "bfloat16": "<u2", "int8": "i1"}.get(self.layout.scale_type, "u1")
        return self._rows_of(dtype, start, start + self.layout.sub_blocks * ROWS_PER_TILE * nbytes)

    def _rows_of(self, dtype: str, start: int, end: int) -> NDArray[Any]:
        part = self.data[..., start:end].view(dtype)
        return part.reshape(*part.shape[:2], part.shape[2] // ROWS_PER_TILE, ROWS_PER_TILE)

    def clear_rows(self, first: int) -> None:
        """Make the rows from lane `first` on of the last row tile all zeros."""
        last = Tiles(layout=self.layout, data=self.data[-1:])
        for block in range(self.layout.blocks_per_tile):
            last.words(block)[..., first:] = 0
            if self.layout.has_bit_plane:
                plane = last.top_bits(block)
                plane[..., (first + 1) // 2 :] = 0
                if first % 2:
                    plane[..., first // 2] &= 15
        parameters = [last.scales, last.mins]
        if self.layout.kind == "superblock":
            parameters += [last.d, last.dmin] if self.layout.has_min else [last.d]
        for parameter in parameters:
            parameter[..., first:] = 0


def tiles_of(layout: PackedLayout, stream: Bytes, across: int) -> Tiles:
    """Views on a contiguous stream of whole row tiles, `across` tiles wide."""
    return Tiles(layout=layout, data=stream.reshape(-1, across, layout.tile_bytes))
