"""Leaf functions over 16 lanes of f32 that several kernels use: exp, sigmoid, gated units, quantisation to int8."""

from collections.abc import Sequence
from functools import reduce

from sharkpack.templates.kernels.activation_block import BLOCK_SUM, D_BITS, DROP, LIFT, SCALE, SUM
from sharkpack.templates.kernels.emitter import F32, I32, Emitter
from sharkpack.templates.kernels.halves import narrow, widen

TAYLOR = (1.98412698e-4, 1.38888889e-3, 8.33333333e-3, 4.16666667e-2, 0.166666667, 0.5, 1.0, 1.0)

ROUNDING = 1.5 * 2.0**23
"""Added to a float32 below 2^22, it leaves no bits for a fraction: the sum is rounded to a whole number."""


def exp(e: Emitter, x: str) -> str:
    """exp(x), relative error below 3e-7, for x clamped to [-87.3, 88.3]: x = n ln 2 + r, Taylor series in r."""
    x = e.larger(e.floats(-87.3), x)
    x = e.smaller(e.floats(88.3), x)
    shifted = e.fma(x, e.floats(1.44269504), e.floats(ROUNDING))
    n = e.float_op("subf", shifted, e.floats(ROUNDING))
    r = e.fma(n, e.floats(-0.693359375), x)  # ln 2 in two parts, so that the product is exact
    r = e.fma(n, e.floats(2.12194440e-4), r)
    p = e.floats(TAYLOR[0])
    for coefficient in TAYLOR[1:]:
        p = e.fma(p, r, e.floats(coefficient))
    # The low bits of `shifted` are n: shifted to the exponent's place, all others fall off.
    exponent = e.op(f"arith.shli {e.bitcast(shifted, F32, I32)}, {e.integers(23)} : {I32}")
    power = e.bitcast(e.op(f"arith.addi {exponent}, {e.integers(127 << 23)} : {I32}"), I32, F32)
    return e.float_op("mulf", p, power)


def round_even(e: Emitter, x: str) -> str:
    """x rounded to a whole number, halves to even, for |x| < 2^22. `math.roundeven` becomes some thirty operations."""
    return e.float_op("subf", e.float_op("addf", x, e.floats(ROUNDING)), e.floats(ROUNDING))


def largest_magnitude(e: Emitter, *vectors: str) -> str:
    """max |x| over all lanes, a scalar; NaN if any is. Without its sign a float is in the order of its bits."""
    each = [e.op(f"arith.andi {e.bitcast(x, F32, I32)}, {e.integers(0x7FFFFFFF)} : {I32}") for x in vectors]
    bits = reduce(lambda a, b: e.op(f"arith.maxsi {a}, {b} : {I32}"), each)
    return e.op(f"arith.bitcast {e.reduce('maxsi', bits, I32)} : i32 to f32")


def integer_codes(e: Emitter, vectors: Sequence[str]) -> tuple[list[str], str]:
    """Codes round(x / d) from -127 to 127, i32, of some vectors that share d = max|x| / 127, and d, f32."""
    d, inverse = _step(e, largest_magnitude(e, *vectors))
    rounded = [round_even(e, e.float_op("mulf", x, inverse)) for x in vectors]
    return [e.op(f"arith.fptosi {x} : {F32} to {I32}") for x in rounded], d


def _step(e: Emitter, largest: str) -> tuple[str, str]:
    """d = largest / 127, a scalar, and 1 / d in each lane."""
    d = e.op(f"arith.mulf {largest}, {e.float(1.0 / 127.0)} : f32")
    # Of zeros (or of numbers so small that 127 / largest overflows) the codes are zero, not NaN.
    tiny = e.op(f"arith.maximumf {largest}, {e.float(1e-30)} : f32")
    return d, e.splat(e.op(f"arith.divf {e.float(127.0)}, {tiny} : f32"))


def sigmoid_times(e: Emitter, x: str, factor: str) -> str:
    """factor / (1 + exp(-x))"""
    grown = exp(e, e.op(f"arith.negf {x} : {F32}"))
    return e.float_op("divf", factor, e.float_op("addf", grown, e.floats(1.0)))


def softcap(e: Emitter, x: str, cap: float) -> str:
    """cap * tanh(x / cap), as cap * (2 sigmoid(2 x / cap) - 1): an error of 1e-7 cap."""
    scaled = e.float_op("mulf", x, e.floats(2.0 / cap))
    return e.float_op("subf", sigmoid_times(e, scaled, e.floats(2.0 * cap)), e.floats(cap))


def quantize_half(e: Emitter, x: str, row: str, tile: str, *, remainder: bool = False, into: str = "") -> None:
    """Write values 16 * tile .. of a row as int8 codes = round(x / d), and what stands beside them in their block.

    Each half of a block of 32 has its own d = max|x| / 127, and leaves the rest as in activation_block.py.
    With `remainder`, also the residual byte of each code, in units of d / 256, and d / 256 times their sum.
    Bindings: `codes` ?x(k/4)xi32, `scales` ?x(k/32)x8xf32, `remainders` as codes, `remainder_sums` ?x(k/32)x2xf32;
    `into` begins the names of codes and scales.
    """
    block = e.op(f"arith.divui {tile}, {e.index(2)} : index")
    half = e.op(f"arith.remui {tile}, {e.index(2)} : index")
    step, inverse = _step(e, largest_magnitude(e, x))
    bits = e.op(f"arith.andi {e.op(f'arith.bitcast {step} : f32 to i32')}, {e.constant(str(D_BITS), 'i32')} : i32")
    d = e.op(f"arith.bitcast {bits} : i32 to f32")
    exact = e.float_op("mulf", x, inverse)
    rounded = round_even(e, exact)
    total = _store_codes(e, rounded, f"{into}codes", row, tile)
    _store_scales(e, f"{into}scales", d, e.op(f"arith.mulf {total}, {d} : f32"), [row, block], half)
    if remainder:
        left = e.float_op("mulf", e.float_op("subf", exact, rounded), e.floats(256.0))
        left = e.smaller(round_even(e, left), e.floats(127.0))
        total = _store_codes(e, left, "remainders", row, tile)
        fine = e.op(f"arith.mulf {d}, {e.float(1.0 / 256.0)} : f32")
        e.store_scalar(e.op(f"arith.mulf {total}, {fine} : f32"), "remainder_sums", [row, block, half])


def _store_scales(e: Emitter, name: str, d: str, total: str, block: list[str], half: str) -> None:
    """Write the values of one half of a block, and those of both halves: right once one workgroup has written both, in
    either order."""
    drop = e.op(f"arith.mulf {d}, {e.float(-LIFT)} : f32")
    for slot, value in ((SCALE, d), (SUM, total), (DROP, drop)):
        e.store_scalar(value, name, [*block, e.add(half, slot)])
    other = e.op(f"arith.subi {e.index(SUM + 1)}, {half} : index")
    both = e.op(f"arith.addf {total}, {e.load_scalar(name, [*block, other])} : f32")
    e.store_scalar(both, name, [*block, e.index(BLOCK_SUM)])


def _store_codes(e: Emitter, rounded: str, name: str, row: str, tile: str) -> str:
    """Store 16 whole numbers as int8; returns their sum, f32."""
    integers = e.op(f"arith.fptosi {rounded} : {F32} to {I32}")
    bytes_ = e.op(f"arith.trunci {integers} : {I32} to vector<16xi8>")
    words = e.bitcast(bytes_, "vector<16xi8>", "vector<4xi32>")
    e.store(words, name, [row, e.mul(tile, 4)], "vector<4xi32>")
    return e.op(f"arith.sitofp {e.reduce('add', integers, I32)} : i32 to f32")


def gate_times(e: Emitter, activation: str, gate: str, up: str) -> str:
    """activation(gate) * up: `silu` is x sigmoid(x); `gelu` its tanh form, x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3));
    `gelu_f16` the same from float16 to float16, which is what ggml's table computes."""
    if activation == "silu":
        return sigmoid_times(e, gate, e.float_op("mulf", gate, up))
    if activation == "gelu":
        return sigmoid_times(e, _gelu_argument(e, gate), e.float_op("mulf", gate, up))
    gate = _through_half(e, gate)
    return e.float_op("mulf", _through_half(e, sigmoid_times(e, _gelu_argument(e, gate), gate)), up)


def _gelu_argument(e: Emitter, x: str) -> str:
    cubic = e.fma(e.float_op("mulf", x, x), e.floats(0.0713548163), e.floats(1.5957691216))
    return e.float_op("mulf", cubic, x)


def _through_half(e: Emitter, x: str) -> str:
    return widen(e, narrow(e, x))
