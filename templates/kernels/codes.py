"""Reading the packed weight stream (docs/format.md) inside a kernel: codes, scales, minimums."""

from collections.abc import Sequence

from sharkpack.formats.packing import PackedLayout
from sharkpack.templates.kernels.emitter import F32, I8, I32, Emitter
from sharkpack.templates.kernels.halves import F16, widen
from sharkpack.templates.kernels.lookup import lookup16
from sharkpack.templates.kernels.streams import Stream

HALVES = (0, 1)
"""A block of 32 k is two halves of 16, each of four vectors of codes."""


RAISED = 16
"""What codes that stay in the upper half of their bytes are multiplied by."""


def unpack_block(
    e: Emitter, layout: PackedLayout, block: Stream, halves: Sequence[int] = HALVES, *, raised: bool = False
) -> list[str]:
    """The four vectors [16 rows][4 k] of each of these halves of the 16 x 32 block at the head of a stream: unsigned
    codes, or what a table has for them, less its lowest value. raised: those of the second half times RAISED."""
    codes = _nibbles(e, block, halves, raised=True) if raised else _codes(e, layout, block, halves)
    if layout.values is None:
        return codes
    lifted = [value - min(layout.values) for value in layout.values]
    return [lookup16(e, code, lifted * (16 // len(lifted))) for code in codes]


def _codes(e: Emitter, layout: PackedLayout, block: Stream, halves: Sequence[int]) -> list[str]:
    groups = [4 * half + g for half in halves for g in range(4)]
    if layout.bits == 8:
        return [block.load(e, 64 * g, 64) for g in groups]
    codes = _pairs_of_bits(e, block, halves) if layout.bits < 4 else _nibbles(e, block, halves)
    if layout.has_bit_plane:
        return [_with_top_bit(e, code, layout, block, g) for g, code in zip(groups, codes, strict=True)]
    if layout.bits == 6:
        top = _top_pairs(e, layout, block, halves)
        return [e.op(f"arith.ori {c}, {h} : {I8}") for c, h in zip(codes, top, strict=True)]
    return codes


def can_raise(e: Emitter, layout: PackedLayout) -> bool:
    """Returns whether codes of the second half can stay raised: they fill the upper halves of bytes, and the sums of
    their dot products hold them (docs/decisions/integer-dots.md)."""
    return layout.bits == 4 and layout.values is None and e.isa.dot in ("vnni", "usdot")


def _nibbles(e: Emitter, block: Stream, halves: Sequence[int], *, raised: bool = False) -> list[str]:
    pairs = [block.load(e, 64 * p, 64) for p in range(4)]
    operations = (("andi", 15), ("andi", 15 * RAISED) if raised else ("shrui", 4))
    parts = [(name, e.integers(by, I8)) for name, by in operations]
    return [e.op(f"arith.{name} {p}, {by} : {I8}") for name, by in (parts[half] for half in halves) for p in pairs]


def _pairs_of_bits(e: Emitter, block: Stream, halves: Sequence[int]) -> list[str]:
    found = []
    for half in halves:
        plane = block.load(e, 64 * half, 64)
        found.append(e.op(f"arith.andi {plane}, {e.integers(3, I8)} : {I8}"))
        for shift in (2, 4):
            moved = e.op(f"arith.shrui {plane}, {e.integers(shift, I8)} : {I8}")
            found.append(e.op(f"arith.andi {moved}, {e.integers(3, I8)} : {I8}"))
        found.append(e.op(f"arith.shrui {plane}, {e.integers(6, I8)} : {I8}"))
    return found


def _with_top_bit(e: Emitter, code: str, layout: PackedLayout, block: Stream, group: int) -> str:
    """An addition under a mask is one instruction where masks exist; an "or" of bytes has no such form."""
    plane = block.load(e, layout.plane_offset + 8 * group, 8)
    word = e.bitcast(plane, "vector<8xi8>", "vector<1xi64>")
    bits = e.bitcast(word, "vector<1xi64>", "vector<64xi1>")
    grown = e.op(f"arith.addi {code}, {e.hidden(e.integers(1 << (layout.bits - 1), I8), I8)} : {I8}")
    return e.op(f"arith.select {bits}, {grown}, {code} : vector<64xi1>, {I8}")


def _top_pairs(e: Emitter, layout: PackedLayout, block: Stream, halves: Sequence[int]) -> list[str]:
    found = []
    for half in halves:
        plane = block.load(e, layout.plane_offset + 64 * half, 64)
        four, two, mask = e.integers(4, I8), e.integers(2, I8), e.integers(48, I8)
        moved = [f"shli {plane}, {four}", f"shli {plane}, {two}", None, f"shrui {plane}, {two}"]
        for shift in moved:
            value = e.op(f"arith.{shift} : {I8}") if shift else plane
            found.append(e.op(f"arith.andi {value}, {mask} : {I8}"))
    return found


def halves(e: Emitter, stream: Stream, offset: int = 0) -> str:
    """16 f16 values from byte `offset` of a stream on, as f32."""
    raw = stream.load(e, offset, 32)
    return widen(e, e.bitcast(raw, "vector<32xi8>", F16))


def block_scale(e: Emitter, layout: PackedLayout, tile: Stream, block: int) -> str:
    """The 16 scales of a block of a tile of a simple layout."""
    if layout.scale_type == "float16":
        return halves(e, tile, layout.scales_offset(block))
    raw = e.bitcast(tile.load(e, layout.scales_offset(block), 32), "vector<32xi8>", "vector<16xbf16>")
    return e.op(f"arith.extf {raw} : vector<16xbf16> to {F32}")


def super_scale(e: Emitter, layout: PackedLayout, tile: Stream) -> str:
    """Returns the unit of a super-block's integer scales: d, or the layout's fraction of it."""
    d = halves(e, tile, layout.d_offset)
    return d if layout.unit == 1.0 else e.float_op("mulf", d, e.floats(layout.unit))


def sub_scale(e: Emitter, layout: PackedLayout, tile: Stream, number: str) -> tuple[str | None, str | None]:
    """The integer scale and minimum of 16 rows, as f32, of sub-block `number` of a super-block; None has none."""
    if layout.scale_type == "none":
        return None, None
    sub = tile.after(e, e.mul(number, 16))
    if layout.scale_type == "nibbles":
        both = _wide(e, sub, layout.scales_offset(), signed=False)
        low = e.op(f"arith.andi {both}, {e.integers(15)} : {I32}")
        return _float(e, low), _float(e, e.op(f"arith.shrui {both}, {e.integers(4)} : {I32}"))
    scale = _float(e, _wide(e, sub, layout.scales_offset(), signed=layout.scale_type == "int8"))
    if not layout.has_min:
        return scale, None
    return scale, _float(e, _wide(e, sub, layout.mins_offset(), signed=False))


def _wide(e: Emitter, stream: Stream, offset: int, *, signed: bool) -> str:
    """16 bytes from byte `offset` of a stream on, as i32."""
    raw = stream.load(e, offset, 16)
    return e.op(f"arith.{'extsi' if signed else 'extui'} {raw} : vector<16xi8> to {I32}")


def _float(e: Emitter, integers: str) -> str:
    return e.op(f"arith.sitofp {integers} : {I32} to {F32}")
