"""Dequantises one element of a packed weight, from what its layout declares."""

from dataclasses import dataclass

from sharkpack.formats.packing.layout import BLOCK_K, ROWS_PER_TILE, PackedLayout, packed_nbytes, tile_counts
from sharkpack.templates.lowering.generic.scalars import Operand, Scalar
from sharkpack.templates.lowering.generic.tensors import Tensor


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """A matrix [n, k] in the stream `data` (i8), beginning at byte `start` of it."""

    layout: PackedLayout
    data: Tensor
    n: int
    k: int
    start: Operand = 0

    @property
    def nbytes(self) -> int:
        return packed_nbytes(self.layout, (self.n, self.k))

    def __getitem__(self, at: tuple[Scalar, Scalar]) -> Scalar:
        n, k = at
        layout, (_, across) = self.layout, tile_counts(self.layout, (self.n, self.k))
        lane, inner = n % ROWS_PER_TILE, k % layout.tile_k
        tile = (n // ROWS_PER_TILE * across + k // layout.tile_k) * layout.tile_bytes + self.start
        if layout.kind == "float":
            return self._float(tile + lane * layout.element_bytes, layout.name)
        code = self._code(tile + inner // BLOCK_K * layout.block_bytes, inner % BLOCK_K, lane)
        scale, minimum = self._scale(tile, inner // layout.sub_block, lane)
        value = self._value(code) * scale
        return value if minimum is None else value + minimum

    def _byte(self, at: Scalar) -> Scalar:
        return self.data[at].cast("arith.extui", "i32")

    def _short(self, at: Scalar) -> Scalar:
        return self._byte(at) | self._byte(at + 1) << 8

    def _float(self, at: Scalar, type: str) -> Scalar:
        """Loads an f16, bf16 or f32 as float32, byte by byte."""
        if type == "f32":
            return (self._short(at) | self._short(at + 2) << 16).bits
        if type == "bf16":
            return (self._short(at) << 16).bits
        return self._short(at).cast("arith.trunci", "i16").cast("arith.bitcast", "f16").float

    def _code(self, block: Scalar, k: Scalar, lane: Scalar) -> Scalar:
        """Loads the code of column `k` of the 32 of a block, as an unsigned i32. A group is 4 columns of 16 rows."""
        layout, group, element = self.layout, k // 4, lane * 4 + k % 4
        if layout.bits == 8:
            return self._byte(block + group * 64 + element)
        if layout.bits < 4:
            code = self._pair(block, group, element)
        else:
            code = self._byte(block + group % 4 * 64 + element) >> (group // 4 * 4).word & 15
        plane = block + layout.plane_offset
        if layout.has_bit_plane:
            top = self._byte(plane + group * 8 + element // 8) >> (element % 8).word & 1
            return code | top << layout.bits - 1
        return code | self._pair(plane, group, element) << 4 if layout.bits == 6 else code

    def _pair(self, start: Scalar, group: Scalar, element: Scalar) -> Scalar:
        """Loads two bits of two vectors of bytes, each of which four groups share."""
        return self._byte(start + group // 4 * 64 + element) >> (group % 4 * 2).word & 3

    def _value(self, code: Scalar) -> Scalar:
        """Returns the number that a code stands for, without its scale."""
        if self.layout.values is None:
            return (code - (self.layout.zero_point or 0)).float
        first, *others = self.layout.values
        value = code.like(first)
        for position, other in enumerate(others, 1):
            value = code.is_("eq", position).choose(code.like(other), value)
        return value.float

    def _scale(self, tile: Scalar, sub: Scalar, lane: Scalar) -> tuple[Scalar, Scalar | None]:
        """Loads the scale of a code's value, and the minimum that is added, where there is one."""
        layout = self.layout
        if layout.kind == "superblock":
            return self._nested_scale(tile, sub, lane)
        at = sub * ROWS_PER_TILE + lane
        scale = self._float(
            tile + layout.scales_offset() + at * 2, "bf16" if layout.scale_type == "bfloat16" else "f16"
        )
        return scale, self._float(tile + layout.mins_offset() + at * 2, "f16") if layout.has_min else None

    def _nested_scale(self, tile: Scalar, sub: Scalar, lane: Scalar) -> tuple[Scalar, Scalar | None]:
        """Loads integers of a sub-block under float16 of the super-block; the minimum is made negative."""
        layout, at = self.layout, sub * ROWS_PER_TILE + lane
        d = self._float(tile + layout.d_offset + lane * 2, "f16") * layout.unit
        if layout.scale_type == "none":
            return d, None
        stored = self.data[tile + layout.scales_offset() + at]
        integer = stored.cast("arith.extsi" if layout.scale_type == "int8" else "arith.extui", "i32")
        nibbles = layout.scale_type == "nibbles"
        scale = d * (integer & 15 if nibbles else integer).float
        if not layout.has_min:
            return scale, None
        dmin = self._float(tile + layout.dmin_offset + lane * 2, "f16")
        minimum = integer >> 4 if nibbles else self._byte(tile + layout.mins_offset() + at)
        return scale, -(dmin * minimum.float)
