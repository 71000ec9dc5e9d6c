"""Kernels that take one row of activations at a time: norms, gated units, quantisation, in float32 or straight to int8."""

from collections.abc import Callable

from sharkpack.templates.kernels.elementwise import quantize_block, sigmoid_times
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

ROWS_EACH = 4


def rms_norm(k: int, epsilon: float, *, quantize: bool, residual: bool = False) -> Kernel:
    """x / sqrt(mean(x^2) + epsilon) * weight (+ residual), [rows, k] float32, optionally quantised to int8."""

    def body(e: Emitter, row: str) -> None:
        def squares(i: str, carried: list[str]) -> list[str]:
            x = e.load("x", [row, i], F32)
            return [e.fma(x, x, carried[0])]

        (total,) = e.loop("%origin", e.index(k), 16, [e.floats(0.0)], F32, squares)
        mean = e.op(f"arith.mulf {e.reduce('add', total)}, {e.float(1.0 / k)} : f32")
        root = e.op(f"math.sqrt {e.op(f'arith.addf {mean}, {e.float(epsilon)} : f32')} : f32")
        inverse = e.splat(e.op(f"arith.divf {e.float(1.0)}, {root} : f32"))

        def value(i: str) -> str:
            scaled = e.float_op("mulf", e.load("x", [row, i], F32), inverse)
            normed = e.float_op("mulf", scaled, e.load("weight", [i], F32))
            return e.float_op("addf", normed, e.load("residual", [row, i], F32)) if residual else normed

        _write_row(e, k, row, value, quantize)

    name = f"rms_norm{'_residual' if residual else ''}{'_int8' if quantize else ''}_k{k}_e{_tag(epsilon)}"
    inputs = [_rows("x", k), Binding(name="weight", memref=f"{k}xf32", tensor=f"{k}xf32")]
    return _kernel(name, [*inputs, *([_rows("residual", k)] if residual else [])], k, quantize, body)


def quantize_rows(k: int) -> Kernel:
    """int8 codes and scales of [rows, k] float32."""

    def body(e: Emitter, row: str) -> None:
        _write_row(e, k, row, lambda i: e.load("x", [row, i], F32), True)

    return _kernel(f"quantize_k{k}", [_rows("x", k)], k, True, body)


def gated(k: int, activation: str, *, quantize: bool) -> Kernel:
    """activation(gate) * up, [rows, k]: `silu` is x sigmoid(x), `gelu` its tanh form, x sigmoid(2 sqrt(2/pi)(x + 0.044715 x^3))."""

    def body(e: Emitter, row: str) -> None:
        def value(i: str) -> str:
            gate = e.load("gate", [row, i], F32)
            inner = gate
            if activation == "gelu":
                cubic = e.fma(e.float_op("mulf", gate, gate), e.floats(0.0713548163), e.floats(1.5957691216))
                inner = e.float_op("mulf", cubic, gate)
            return sigmoid_times(e, inner, e.float_op("mulf", gate, e.load("up", [row, i], F32)))

        _write_row(e, k, row, value, quantize)

    name = f"{activation}_gated{'_int8' if quantize else ''}_k{k}"
    return _kernel(name, [_rows("gate", k), _rows("up", k)], k, quantize, body)


def _write_row(e: Emitter, k: int, row: str, value: Callable[[str], str], quantize: bool) -> None:
    if not quantize:
        e.each("%origin", e.index(k), 16, lambda i: e.store(value(i), "y", [row, i], F32))
        return

    def block(b: str) -> None:
        i = e.mul(b, 32)
        quantize_block(e, value(i), value(e.add(i, 16)), row, b)

    e.each("%origin", e.index(k // 32), 1, block)


def _kernel(name: str, inputs: list[Binding], k: int, quantize: bool, row_body: Callable[[Emitter, str], None]) -> Kernel:
    def body(e: Emitter) -> None:
        first = e.mul("%group_x", ROWS_EACH)
        last = e.minimum(e.add(first, ROWS_EACH), "%rows")
        e.each(first, last, 1, lambda row: row_body(e, row))

    outputs = [_rows("y", k, "write")]
    if quantize:
        codes = Binding(name="codes", memref=f"?x{k // 4}xi32", tensor=f"?x{k}xi8", access="write")
        outputs = [codes, Binding(name="scales", memref=f"?x{k // 32}x4xf32", tensor=f"?x{k // 32}x4xf32", access="write")]
    return Kernel(
        name=name, bindings=(*inputs, *outputs), dimensions={"rows": (inputs[0].name, 0)}, row_tile=ROWS_EACH, body=body
    )


def _rows(name: str, k: int, access: str = "read") -> Binding:
    return Binding(name=name, memref=f"?x{k}xf32", tensor=f"?x{k}xf32", access=access)  # type: ignore[arg-type]


def _tag(value: float) -> str:
    return f"{value:.6e}".replace(".", "p").replace("-", "m").replace("+", "")
