"""Kernels that take one row of activations at a time: norms, gated units, quantisation.

Each writes float32, or int8 codes, or int8 codes with residual bytes: rows are quantised where they are made.
"""

from collections.abc import Callable
from typing import Literal

from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.kernels.elementwise import gate_times, quantize_half
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel, number_tag

ROWS_EACH = 4

Output = Literal["float32", "int8", "int8_remainder"]


def rms_norm(k: int, epsilon: float, *, output: Output, residual: bool = False, heads: int = 1) -> Kernel:
    """x / sqrt(mean(x^2) + epsilon) * weight (+ residual), [rows, k] float32, optionally quantised to int8.

    With several `heads`, rows are [rows, heads * k], each head normalised by itself; float32 without residual only.
    """

    def body(e: Emitter, row: str) -> None:
        inverse = inverse_root(e, "x", row, "%origin", k, epsilon)

        def value(i: str) -> str:
            scaled = e.float_op("mulf", e.load("x", [row, i], F32), inverse)
            normed = e.float_op("mulf", scaled, e.load("weight", [i], F32))
            return e.float_op("addf", normed, e.load("residual", [row, i], F32)) if residual else normed

        _write_row(e, k, row, value, output)

    def body_of_heads(e: Emitter, row: str) -> None:
        e.each("%origin", e.index(heads), 1, lambda head: _norm_head(e, row, e.mul(head, k), k, epsilon))

    extras = ("_residual" if residual else "") + (f"_h{heads}" if heads > 1 else "")
    name = f"rms_norm{extras}_{output}_k{k}_e{number_tag(epsilon)}"
    inputs = [_rows("x", heads * k), Binding.of("weight", f"{k}xf32")]
    inputs += [_rows("residual", k)] if residual else []
    return _kernel(name, inputs, heads * k, output, body_of_heads if heads > 1 else body)


def _norm_head(e: Emitter, row: str, start: str, k: int, epsilon: float) -> None:
    inverse = inverse_root(e, "x", row, start, k, epsilon)

    def columns(i: str) -> None:
        at = e.add(start, i)
        scaled = e.float_op("mulf", e.load("x", [row, at], F32), inverse)
        e.store(e.float_op("mulf", scaled, e.load("weight", [i], F32)), "y", [row, at], F32)

    e.each("%origin", e.index(k), 16, columns)


def inverse_root(e: Emitter, name: str, row: str, start: str, k: int, epsilon: float) -> str:
    """1 / sqrt(mean(x^2) + epsilon) of k values of a row of the binding `name` from `start` on, 16 times."""

    def squares(i: str, carried: list[str]) -> list[str]:
        x = e.load(name, [row, e.add(start, i)], F32)
        return [e.fma(x, x, carried[0])]

    (total,) = e.loop("%origin", e.index(k), 16, [e.floats(0.0)], F32, squares)
    mean = e.op(f"arith.mulf {e.reduce('add', total)}, {e.float(1.0 / k)} : f32")
    root = e.op(f"math.sqrt {e.op(f'arith.addf {mean}, {e.float(epsilon)} : f32')} : f32")
    return e.splat(e.op(f"arith.divf {e.float(1.0)}, {root} : f32"))


def quantize_rows(k: int, *, remainder: bool = False) -> Kernel:
    """int8 codes and scales of [rows, k] float32, optionally with residual bytes."""
    output: Output = "int8_remainder" if remainder else "int8"

    def body(e: Emitter, row: str) -> None:
        _write_row(e, k, row, lambda i: e.load("x", [row, i], F32), output)

    return _kernel(f"quantize{'_int16' * remainder}_k{k}", [_rows("x", k)], k, output, body)


def gated(k: int, activation: str, *, output: Output) -> Kernel:
    """activation(gate) * up, [rows, k]."""

    def body(e: Emitter, row: str) -> None:
        def value(i: str) -> str:
            return gate_times(e, activation, e.load("gate", [row, i], F32), e.load("up", [row, i], F32))

        _write_row(e, k, row, value, output)

    name = f"{activation}_gated_{output}_k{k}"
    return _kernel(name, [_rows("gate", k), _rows("up", k)], k, output, body)


def _write_row(e: Emitter, k: int, row: str, value: Callable[[str], str], output: Output) -> None:
    if output == "float32":
        e.each("%origin", e.index(k), 16, lambda i: e.store(value(i), "y", [row, i], F32))
        return

    def tile(t: str) -> None:
        quantize_half(e, value(e.mul(t, 16)), row, t, remainder=output == "int8_remainder")

    e.each("%origin", e.index(k // 16), 1, tile)


def _kernel(
    name: str, inputs: list[Binding], k: int, output: Output, row_body: Callable[[Emitter, str], None]
) -> Kernel:
    def body(e: Emitter) -> None:
        first = e.mul("%group_x", ROWS_EACH)
        last = e.minimum(e.add(first, ROWS_EACH), "%rows")
        e.each(first, last, 1, lambda row: row_body(e, row))

    outputs = [_rows("y", k, "write")]
    if output != "float32":
        outputs = quantized_outputs(k, remainder=output == "int8_remainder")
    return Kernel(
        name=name, bindings=(*inputs, *outputs), dimensions={"rows": (inputs[0].name, 0)}, row_tile=ROWS_EACH, body=body
    )


def quantized_outputs(k: int, *, remainder: bool = False) -> list[Binding]:
    """The bindings that `quantize_half` writes for rows of k."""
    found = [_codes("codes", k), _blocks("scales", k, SIZE)]
    return [*found, _codes("remainders", k), _blocks("remainder_sums", k, 2)] if remainder else found


def _rows(name: str, k: int, access: Literal["read", "write"] = "read") -> Binding:
    return Binding.of(name, f"?x{k}xf32", access=access)


def _codes(name: str, k: int) -> Binding:
    return Binding(name=name, memref=f"?x{k // 4}xi32", tensor=f"?x{k}xi8", access="write")


def _blocks(name: str, k: int, values: int) -> Binding:
    shape = f"?x{k // 32}x{values}xf32"
    return Binding.of(name, shape, access="write")
