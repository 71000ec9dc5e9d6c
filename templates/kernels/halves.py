"""16 values from f16 to f32 and back; in integer arithmetic where the processor cannot, as LLVM would call a function
for each value.

Shorts become words, and words shorts, by shuffles: the compiler (IREE 3.13) takes arith.extui of a cast value, and a
cast of arith.trunci, apart as if there were no float in it.
"""

from sharkpack.templates.kernels.emitter import F32, I32, Emitter

F16 = "vector<16xf16>"
_SHORT, _SHORTS = "vector<16xi16>", "vector<32xi16>"
_SEEN = "vector<16xi1>"


def widen(e: Emitter, value: str) -> str:
    """f32 [16] of f16 [16], exactly; NaN stays NaN."""
    if e.isa.converts_halves:
        return e.op(f"arith.extf {value} : {F16} to {F32}")
    bits = _to_words(e, e.bitcast(value, F16, _SHORT))
    magnitude = _and(e, bits, 0x7FFF)
    found = _add(e, _shift(e, "shli", magnitude, 13), 112 << 23)
    found = _choose(e, "sge", magnitude, 0x7C00, _add(e, found, 112 << 23), found)
    # Not by the arithmetic of small floats: kernels run with those flushed to zero.
    small = e.float_op("mulf", e.op(f"arith.sitofp {magnitude} : {I32} to {F32}"), e.floats(2.0**-24))
    found = _choose(e, "slt", magnitude, 0x0400, e.bitcast(small, F32, I32), found)
    sign = _shift(e, "shli", _and(e, bits, 0x8000), 16)
    return e.bitcast(_or(e, found, sign), I32, F32)


def narrow(e: Emitter, value: str) -> str:
    """f16 [16] of f32 [16], to nearest, ties to even; what is too large becomes infinite, NaN stays NaN."""
    if e.isa.converts_halves:
        return e.op(f"arith.truncf {value} : {F32} to {F16}")
    bits = e.bitcast(value, F32, I32)
    magnitude = _and(e, bits, 0x7FFFFFFF)
    odd = _and(e, _shift(e, "shrui", magnitude, 13), 1)
    rebased = _add(e, _add(e, magnitude, odd), 0xFFF - (112 << 23))
    normal = _shift(e, "shrui", rebased, 13)
    # Added to 0.5, the last bit of a sum is the last bit of a half: the addition rounds.
    sum_bits = e.bitcast(e.float_op("addf", e.bitcast(magnitude, I32, F32), e.floats(0.5)), F32, I32)
    found = _choose(e, "slt", magnitude, 0x38800000, _add(e, sum_bits, -0x3F000000), normal)
    found = _choose(e, "sge", magnitude, 0x477FF000, e.integers(0x7C00), found)
    found = _choose(e, "sgt", magnitude, 0x7F800000, e.integers(0x7E00), found)
    found = _or(e, found, _and(e, _shift(e, "shrui", bits, 16), 0x8000))
    return e.bitcast(_to_shorts(e, found), _SHORT, F16)


def _to_words(e: Emitter, shorts: str) -> str:
    """Zero-extended: i16 [16] with a zero behind each."""
    order = ", ".join(f"{i}, {16 + i}" for i in range(16))
    pairs = e.op(f"vector.shuffle {shorts}, {e.integers(0, _SHORT)} [{order}] : {_SHORT}, {_SHORT}")
    return e.bitcast(pairs, _SHORTS, I32)


def _to_shorts(e: Emitter, words: str) -> str:
    """The lower half of each."""
    shorts, order = e.bitcast(words, I32, _SHORTS), ", ".join(map(str, range(0, 32, 2)))
    return e.op(f"vector.shuffle {shorts}, {shorts} [{order}] : {_SHORTS}, {_SHORTS}")


def _and(e: Emitter, value: str, mask: int) -> str:
    return e.op(f"arith.andi {value}, {e.integers(mask)} : {I32}")


def _or(e: Emitter, a: str, b: str) -> str:
    return e.op(f"arith.ori {a}, {b} : {I32}")


def _add(e: Emitter, value: str, term: str | int) -> str:
    return e.op(f"arith.addi {value}, {e.integers(term) if isinstance(term, int) else term} : {I32}")


def _shift(e: Emitter, operation: str, value: str, count: int) -> str:
    return e.op(f"arith.{operation} {value}, {e.integers(count)} : {I32}")


def _choose(e: Emitter, order: str, value: str, bound: int, then: str, otherwise: str) -> str:
    seen = e.op(f"arith.cmpi {order}, {value}, {e.integers(bound)} : {I32}")
    return e.op(f"arith.select {seen}, {then}, {otherwise} : {_SEEN}, {I32}")
