"""Reading the packed weight stream (docs/format.md) inside a kernel: codes, scales, minimums."""

from sharkpack.formats.packing import PackedLayout
from sharkpack.templates.kernels.emitter import F32, I8, I32, Emitter
from sharkpack.templates.kernels.halves import F16, widen


def unpack_block(e: Emitter, layout: PackedLayout, weight: str, base: str) -> list[str]:
    """The eight vectors [16 rows][4 k] of unsigned codes of the 16 x 32 block at byte `base` of a binding."""
    if layout.bits == 8:
        return [e.load(weight, [e.add(base, 64 * g)], I8) for g in range(8)]
    pairs = [e.load(weight, [e.add(base, 64 * p)], I8) for p in range(4)]
    fifteen, four = e.integers(15, I8), e.integers(4, I8)
    low = [e.op(f"arith.andi {pair}, {fifteen} : {I8}") for pair in pairs]
    codes = low + [e.op(f"arith.shrui {pair}, {four} : {I8}") for pair in pairs]
    if layout.bits == 5:
        return [_with_fifth_bit(e, c, layout, weight, base, g) for g, c in enumerate(codes)]
    if layout.bits == 6:
        return [
            e.op(f"arith.ori {c}, {h} : {I8}") for c, h in zip(codes, _top_pairs(e, layout, weight, base), strict=True)
        ]
    return codes


def _with_fifth_bit(e: Emitter, code: str, layout: PackedLayout, weight: str, base: str, group: int) -> str:
    """An addition under a mask is one instruction where masks exist; an "or" of bytes has no such form."""
    plane = e.load(weight, [e.add(base, layout.plane_offset + 8 * group)], "vector<8xi8>")
    word = e.bitcast(plane, "vector<8xi8>", "vector<1xi64>")
    bits = e.bitcast(word, "vector<1xi64>", "vector<64xi1>")
    grown = e.op(f"arith.addi {code}, {e.hidden(e.integers(16, I8), I8)} : {I8}")
    return e.op(f"arith.select {bits}, {grown}, {code} : vector<64xi1>, {I8}")


def _top_pairs(e: Emitter, layout: PackedLayout, weight: str, base: str) -> list[str]:
    found = []
    for half in range(2):
        plane = e.load(weight, [e.add(base, layout.plane_offset + 64 * half)], I8)
        four, two, mask = e.integers(4, I8), e.integers(2, I8), e.integers(48, I8)
        moved = [f"shli {plane}, {four}", f"shli {plane}, {two}", None, f"shrui {plane}, {two}"]
        for shift in moved:
            value = e.op(f"arith.{shift} : {I8}") if shift else plane
            found.append(e.op(f"arith.andi {value}, {mask} : {I8}"))
    return found


def halves(e: Emitter, weight: str, at: str) -> str:
    """16 f16 values at byte `at` of a binding, as f32."""
    raw = e.load(weight, [at], "vector<32xi8>")
    return widen(e, e.bitcast(raw, "vector<32xi8>", F16))


def small_integers(e: Emitter, weight: str, at: str, *, signed: bool) -> str:
    """16 bytes at byte `at` of a binding, as f32."""
    raw = e.load(weight, [at], "vector<16xi8>")
    wide = e.op(f"arith.{'extsi' if signed else 'extui'} {raw} : vector<16xi8> to {I32}")
    return e.op(f"arith.sitofp {wide} : {I32} to {F32}")
