"""The leaf of every integer product: 16 rows x 4 k of unsigned codes times 4 signed activations, into 32 bits."""

from sharkpack.templates.kernels.emitter import I8, I32, Emitter


def dot4(e: Emitter, accumulator: str, codes: str, word: str) -> str:
    """accumulator[16] + sum over 4 k of codes[16][4] * word, where `word` is an i32 of 4 signed bytes."""
    if e.isa.dot == "avx512vnni":
        x = e.bitcast(e.splat(word, "i32", I32), I32, I8)
        return e.op(
            f'llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"({accumulator}, {codes}, {x})'
            f" : ({I32}, {I8}, {I8}) -> {I32}"
        )
    return _portable(e, accumulator, codes, word)


def _portable(e: Emitter, accumulator: str, codes: str, word: str) -> str:
    words = e.bitcast(codes, I8, I32)
    for j in range(4):
        lifted = e.op(f"arith.shli {word}, {e.constant(str(24 - 8 * j), 'i32')} : i32")
        x = e.splat(e.op(f"arith.shrsi {lifted}, {e.constant('24', 'i32')} : i32"), "i32", I32)
        accumulator = e.op(
            f"arith.addi {accumulator}, {e.op(f'arith.muli {byte_of(e, words, j)}, {x} : {I32}')} : {I32}"
        )
    return accumulator


def byte_of(e: Emitter, words: str, j: int) -> str:
    """Byte j of each of 16 words, as i32."""
    moved = e.op(f"arith.shrui {words}, {e.integers(8 * j)} : {I32}") if j else words
    return e.op(f"arith.andi {moved}, {e.integers(255)} : {I32}") if j < 3 else moved
