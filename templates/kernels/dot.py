"""The leaf of every integer matmul: 16 rows x 16 k of unsigned codes times 16 signed activations, into 32 bits.

No sum saturates or wraps: a sum of 16 bits takes as many terms as fit it, and bytes of 8 bits go in nibbles.
"""

from collections.abc import Sequence

from sharkpack.templates.kernels.emitter import I8, I32, Emitter
from sharkpack.templates.kernels.registers import intrinsic, join, split, vector

_QUADS = {
    ("vnni", 64): "llvm.x86.avx512.vpdpbusd.512",
    ("vnni", 32): "llvm.x86.avx512.vpdpbusd.256",
    ("sdot", 16): "llvm.aarch64.neon.sdot.v4i32.v16i8",
    ("usdot", 16): "llvm.aarch64.neon.usdot.v4i32.v16i8",
}
_BYTE_PAIRS = {
    16: "llvm.x86.ssse3.pmadd.ub.sw.128",
    32: "llvm.x86.avx2.pmadd.ub.sw",
    64: "llvm.x86.avx512.pmaddubs.w.512",
}
_WORD_PAIRS = {16: "llvm.x86.sse2.pmadd.wd", 32: "llvm.x86.avx2.pmadd.wd", 64: "llvm.x86.avx512.pmaddw.d.512"}


def code_bias(e: Emitter, bits: int) -> int:
    """Returns what `dot16` subtracts from each code: where bytes are multiplied as signed, 8-bit codes have to be."""
    return 128 if e.isa.dot == "sdot" and bits == 8 else 0


def dot16(e: Emitter, total: str, codes: Sequence[str], words: Sequence[str], bits: int) -> str:
    """total, i32 [16 rows], plus the sums over 16 k of (code - `code_bias`) * x.

    codes: 4 vectors [16 rows][4 k] of unsigned codes of that many bits; words: 4 values i32 of 4 signed bytes x.
    """
    if e.isa.dot == "portable":
        return _portable(e, total, codes, words, bits)
    if code_bias(e, bits):
        codes = [e.op(f"arith.xori {code}, {e.integers(-128, I8)} : {I8}") for code in codes]
    x = [_spread(e, word, e.isa.register_bytes) for word in words]
    totals = split(e, total, "i32", 16)
    parts = zip(*(split(e, code, "i8", 64) for code in codes), strict=True)
    if e.isa.dot == "maddubs":
        found = [_pairs(e, register, part, x, bits) for register, part in zip(totals, parts, strict=True)]
    else:
        found = [_quads(e, register, part, x) for register, part in zip(totals, parts, strict=True)]
    return join(e, found, "i32", 16)


def _spread(e: Emitter, word: str, width: int) -> str:
    """A word in every 4 bytes of a register."""
    words = vector(width // 4, "i32")
    return e.bitcast(e.splat(word, "i32", words), words, vector(width, "i8"))


def _quads(e: Emitter, total: str, codes: Sequence[str], x: Sequence[str]) -> str:
    """Emits one instruction that adds the dot product of 4 bytes to 32 bits."""
    width = e.isa.register_bytes
    sums, bytes_ = vector(width // 4, "i32"), vector(width, "i8")
    for code, bytes4 in zip(codes, x, strict=True):
        total = intrinsic(e, _QUADS[e.isa.dot, width], (total, code, bytes4), (sums, bytes_, bytes_), sums)
    return total


def _pairs(e: Emitter, total: str, codes: Sequence[str], x: Sequence[str], bits: int) -> str:
    """Emits dot products of 2 bytes into 16 bits, which must not overflow, and adds those in twos into 32 bits."""
    bytes_, sums = (vector(e.isa.register_bytes // size, f"i{8 * size}") for size in (1, 4))
    if bits == 8:
        low = [e.op(f"arith.andi {code}, {e.integers(15, bytes_)} : {bytes_}") for code in codes]
        high = [e.op(f"arith.shrui {code}, {e.integers(4, bytes_)} : {bytes_}") for code in codes]
        return _sum(e, [total, _pairs_times(e, low, x, 1), _pairs_times(e, high, x, 16)], sums)
    fitting = min(len(codes), 32767 // (2 * 128 * (2**bits - 1)))
    starts = range(0, len(codes), fitting)
    return _sum(e, [total, *(_pairs_times(e, codes[i : i + fitting], x[i : i + fitting], 1) for i in starts)], sums)


def _pairs_times(e: Emitter, codes: Sequence[str], x: Sequence[str], factor: int) -> str:
    width = e.isa.register_bytes
    bytes_, words, sums = vector(width, "i8"), vector(width // 2, "i16"), vector(width // 4, "i32")
    pairs = [intrinsic(e, _BYTE_PAIRS[width], both, (bytes_, bytes_), words) for both in zip(codes, x, strict=True)]
    total = _sum(e, pairs, words)
    return intrinsic(e, _WORD_PAIRS[width], (total, e.integers(factor, words)), (words, words), sums)


def _sum(e: Emitter, values: Sequence[str], kind: str) -> str:
    total = values[0]
    for value in values[1:]:
        total = e.op(f"arith.addi {total}, {value} : {kind}")
    return total


def _portable(e: Emitter, total: str, codes: Sequence[str], words: Sequence[str], bits: int) -> str:
    """Emits plain arithmetic on 16 bits, bytes 0 and 2 of a row apart from 1 and 3; as many terms are summed as fit."""
    fitting = min(len(codes), 32767 // (128 * (2**bits - 1)))
    parts = [total]
    for start in range(0, len(codes), fitting):
        these = range(start, start + fitting)
        for parity in range(2):
            products = [_shorts_times(e, codes[i], words[i], parity) for i in these]
            parts += _widen(e, _sum(e, products, "vector<32xi16>"))
    return _sum(e, parts, I32)


def _shorts_times(e: Emitter, code: str, word: str, parity: int) -> str:
    """Every other code, from the first or the second, times its activation, i16 [32]."""
    short = "vector<32xi16>"
    x = e.bitcast(e.splat(word, "i32", I32), I32, short)
    code, eight = e.bitcast(code, I8, short), e.integers(8, short)
    if parity == 0:
        # Not a sign extension of bytes: the compiler (IREE 3.13) makes one of a bitcast value a zero extension.
        x = e.op(f"arith.shli {x}, {eight} : {short}")
        code = e.op(f"arith.andi {code}, {e.integers(255, short)} : {short}")
    else:
        code = e.op(f"arith.shrui {code}, {eight} : {short}")
    x = e.op(f"arith.shrsi {x}, {eight} : {short}")
    return e.op(f"arith.muli {code}, {x} : {short}")


def _widen(e: Emitter, shorts: str) -> list[str]:
    """The lower and the upper i16 of each 32 bits, as i32 [16]."""
    both, sixteen = e.bitcast(shorts, "vector<32xi16>", I32), e.integers(16)
    lower = e.op(f"arith.shrsi {e.op(f'arith.shli {both}, {sixteen} : {I32}')}, {sixteen} : {I32}")
    return [lower, e.op(f"arith.shrsi {both}, {sixteen} : {I32}")]


def byte_of(e: Emitter, words: str, j: int) -> str:
    """Byte j of each of 16 words, as i32."""
    moved = e.op(f"arith.shrui {words}, {e.integers(8 * j)} : {I32}") if j else words
    return e.op(f"arith.andi {moved}, {e.integers(255)} : {I32}") if j < 3 else moved
