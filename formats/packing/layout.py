"""The layout of a tile of the packed weight stream: plain numbers for kernel generators. Moves no bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import QUANT_TYPES, QuantType, ScaleType, quant_type

ROWS_PER_TILE = 16
BLOCK_K = 32
CACHE_LINE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedLayout:
    """One packed layout. All offsets and sizes are bytes; offsets count from the start of a tile unless said otherwise.

    A tile is 16 rows x `tile_k`: `blocks_per_tile` blocks of 32 k (codes, then their plane), scales, minimums, d, dmin.
    kind "simple": float scale (and added float16 minimum) a block of 32. "superblock": integer scales a sub-block,
    under float16 d (and dmin, subtracted). "float": no blocks, a tile is one k of 16 elements. A code stands for
    `code - zero_point`, or for `values[code]`; `zero_point` then lifts those to unsigned bytes.
    """

    name: str
    kind: Literal["float", "simple", "superblock"]
    bits: int
    sub_block: int
    super_block: int
    zero_point: int | None
    has_min: bool
    scale_type: ScaleType
    values: tuple[int, ...] | None
    unit: float
    blocks_per_tile: int

    @property
    def quant(self) -> QuantType:
        """The GGML type it packs."""
        return QUANT_TYPES[self.name.upper()]

    @property
    def element_bytes(self) -> int:
        """Size of one element of a float layout; 0 of the others."""
        return self.bits // 8 if self.kind == "float" else 0

    @property
    def tile_k(self) -> int:
        """Columns of a tile."""
        return BLOCK_K * self.blocks_per_tile if self.blocks_per_tile else 1

    @property
    def plane_offset(self) -> int:
        """The offset in a block of the plane of further bits (3 and 5 bits: 64 bytes, 6 bits: 128)."""
        return {2: 128, 3: 128, 8: 512}.get(self.bits, 256)

    @property
    def has_bit_plane(self) -> bool:
        """Returns whether the plane has one bit a code, the highest."""
        return self.bits in (3, 5)

    @property
    def byte_bits(self) -> int:
        """Bits of the unsigned bytes that a kernel multiplies: of the codes, or of the values that they stand for."""
        return self.bits if self.values is None else (max(self.values) - min(self.values)).bit_length()

    @property
    def block_bytes(self) -> int:
        """Codes and plane of one block, 16 rows x 32 k."""
        return 0 if self.kind == "float" else ROWS_PER_TILE * BLOCK_K * self.bits // 8

    @property
    def sub_blocks(self) -> int:
        """Sub-blocks a row has in a tile: one scale each."""
        return self.tile_k // self.sub_block

    @property
    def scale_bytes(self) -> int:
        """Size of one scale: 2 (a float) in simple layouts, 1 (an integer) in super-blocks, or 0 if they have none."""
        return {"float16": 2, "bfloat16": 2, "none": 0}.get(self.scale_type, 1)

    @property
    def min_bytes(self) -> int:
        """Size of one minimum that stands beside the scales: that of a scale, but not where they share a byte."""
        return self.scale_bytes if self.has_min and self.scale_type != "nibbles" else 0

    def scales_offset(self, sub: int = 0) -> int:
        """Returns the offset of the 16 scales of sub-block `sub`; in simple layouts a block is a sub-block."""
        return self.blocks_per_tile * self.block_bytes + sub * ROWS_PER_TILE * self.scale_bytes

    def mins_offset(self, sub: int = 0) -> int:
        """Returns the offset of the 16 minimums of sub-block `sub` of the tile; only where `min_bytes`."""
        return self.scales_offset(self.sub_blocks) + sub * ROWS_PER_TILE * self.min_bytes

    @property
    def d_offset(self) -> int:
        """The offset of the super-block's float16 scale of each row."""
        return self.mins_offset(self.sub_blocks)

    @property
    def dmin_offset(self) -> int:
        """The offset of the super-block's float16 minimum of each row; only where `has_min`."""
        return self.d_offset + 2 * ROWS_PER_TILE

    @property
    def tile_bytes(self) -> int:
        """Bytes from one tile to the next: a multiple of the cache line, but in float layouts."""
        if self.kind == "float":
            return ROWS_PER_TILE * self.element_bytes
        end = self.d_offset
        if self.kind == "superblock":
            end += 2 * ROWS_PER_TILE * (2 if self.has_min else 1)
        return -(-end // CACHE_LINE) * CACHE_LINE


def _layout_of(quant: QuantType) -> PackedLayout:
    """Returns the blocks of a tile, which is whole cache lines: one or two simple blocks, or a super-block."""
    blocks = 0 if quant.kind == "float" else quant.block // BLOCK_K
    if quant.kind == "simple":
        parameters = 2 * ROWS_PER_TILE * (2 if quant.has_min else 1)
        blocks = 1 if (ROWS_PER_TILE * BLOCK_K * quant.bits // 8 + parameters) % CACHE_LINE == 0 else 2
    return PackedLayout(
        name=quant.name.lower(),
        kind=quant.kind,
        bits=quant.bits,
        sub_block=quant.sub_block,
        super_block=quant.block,
        zero_point=quant.zero_point,
        has_min=quant.has_min,
        scale_type=quant.scale_type,
        values=quant.values,
        unit=quant.unit,
        blocks_per_tile=blocks,
    )


LAYOUTS: dict[str, PackedLayout] = {q.name.lower(): _layout_of(q) for q in QUANT_TYPES.values()}


def layout_named(type_name: str) -> PackedLayout:
    """The layout that packs that GGML type ("Q4_K" or "q4_k"); SharkpackError where there is none."""
    return LAYOUTS[quant_type(type_name.upper()).name.lower()]


def tile_counts(layout: PackedLayout, shape: Sequence[int]) -> tuple[int, int]:
    """Tiles down (rows, padded to 16) and across (k) of a matrix; SharkpackError unless its rows are whole blocks."""
    if len(shape) != 2 or min(shape) < 1 or shape[1] % layout.super_block:
        raise SharkpackError(
            f"A tensor of shape {tuple(shape)} cannot be packed as {layout.name}: "
            f"a matrix is needed whose columns are a multiple of {layout.super_block}."
        )
    return -(-shape[0] // ROWS_PER_TILE), -(-shape[1] // layout.tile_k)


def packed_nbytes(layout: PackedLayout, shape: Sequence[int]) -> int:
    """Bytes of the packed stream of a matrix of `shape` (rows, k)."""
    down, across = tile_counts(layout, shape)
    return down * across * layout.tile_bytes
