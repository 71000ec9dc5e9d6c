"""Leaf functions over 16 lanes of f32 that several kernels use: exp, sigmoid, quantisation of 32 values to int8."""

from sharkpack.templates.kernels.emitter import F32, I32, Emitter

WIDE = "vector<32xf32>"
TAYLOR = (1.98412698e-4, 1.38888889e-3, 8.33333333e-3, 4.16666667e-2, 0.166666667, 0.5, 1.0, 1.0)


def exp(e: Emitter, x: str) -> str:
    """exp(x), relative error below 3e-7, for x clamped to [-87.3, 88.3]: x = n ln 2 + r, Taylor series in r."""
    x = e.float_op("maximumf", x, e.floats(-87.3))
    x = e.float_op("minimumf", x, e.floats(88.3))
    n = e.op(f"math.roundeven {e.float_op('mulf', x, e.floats(1.44269504))} : {F32}")
    r = e.fma(n, e.floats(-0.693359375), x)  # ln 2 in two parts, so that the product is exact
    r = e.fma(n, e.floats(2.12194440e-4), r)
    p = e.floats(TAYLOR[0])
    for coefficient in TAYLOR[1:]:
        p = e.fma(p, r, e.floats(coefficient))
    exponent = e.op(f"arith.addi {e.op(f'arith.fptosi {n} : {F32} to {I32}')}, {e.integers(127)} : {I32}")
    power = e.bitcast(e.op(f"arith.shli {exponent}, {e.integers(23)} : {I32}"), I32, F32)
    return e.float_op("mulf", p, power)


def sigmoid_times(e: Emitter, x: str, factor: str) -> str:
    """factor / (1 + exp(-x))"""
    grown = exp(e, e.op(f"arith.negf {x} : {F32}"))
    return e.float_op("divf", factor, e.float_op("addf", grown, e.floats(1.0)))


def quantize_block(e: Emitter, low: str, high: str, row: str, block: str) -> None:
    """Write 32 values (two vectors) as int8 codes = round(x / d), d = max|x| / 127, and {d, d*sum, d*sum of each half}.

    Bindings: `codes` ?x(k/4)xi32, `scales` ?x(k/32)x4xf32.
    """
    top = e.float_op("maximumf", e.op(f"math.absf {low} : {F32}"), e.op(f"math.absf {high} : {F32}"))
    largest = e.reduce("maximumf", top)
    d = e.op(f"arith.mulf {largest}, {e.float(1.0 / 127.0)} : f32")
    # A block of zeros (or of numbers so small that 127 / max overflows) has codes of zero, not NaN.
    tiny = e.op(f"arith.maximumf {largest}, {e.float(1e-30)} : f32")
    inverse = e.splat(e.op(f"arith.divf {e.float(127.0)}, {tiny} : f32"))
    sums = []
    for half, x in enumerate((low, high)):
        rounded = e.op(f"math.roundeven {e.float_op('mulf', x, inverse)} : {F32}")
        integers = e.op(f"arith.fptosi {rounded} : {F32} to {I32}")
        bytes_ = e.op(f"arith.trunci {integers} : {I32} to vector<16xi8>")
        words = e.bitcast(bytes_, "vector<16xi8>", "vector<4xi32>")
        e.store(words, "codes", [row, e.add(e.mul(block, 8), 4 * half)], "vector<4xi32>")
        sums.append(e.op(f"arith.sitofp {e.reduce('add', integers, I32)} : i32 to f32"))
    sums = [e.op(f"arith.mulf {s}, {d} : f32") for s in sums]
    total = e.op(f"arith.addf {sums[0]}, {sums[1]} : f32")
    for slot, value in enumerate((d, total, *sums)):
        e.store_scalar(value, "scales", [row, block, e.index(slot)])
