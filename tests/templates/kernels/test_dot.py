"""The integer leaf alone, against exact sums: extremes that would saturate or wrap, and random codes of every width."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sharkpack.templates.kernels.dot import code_bias, dot16
from sharkpack.templates.kernels.emitter import I8, I32, Binding, Emitter
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from tests.templates.kernel_runner import KernelRunner, isas_here

WIDTHS = (2, 3, 4, 5, 6, 7, 8)


def _kernel(bits: int) -> Kernel:
    """sums[16] = codes [16 rows][16 k] . x[16], codes in groups of 4 k: what the leaf takes off goes in first."""

    def body(e: Emitter) -> None:
        codes = [e.load("codes", ["%group_x", e.index(64 * g)], I8) for g in range(4)]
        words = [e.load_scalar("x", ["%group_x", e.index(g)]) for g in range(4)]
        x_sum = e.splat(e.load_scalar("x_sum", ["%group_x", "%origin"]), "i32", I32)
        taken = e.op(f"arith.muli {x_sum}, {e.integers(code_bias(e, bits))} : {I32}")
        e.store(dot16(e, taken, codes, words, bits), "sums", ["%group_x", "%origin"], I32)

    return Kernel(
        name=f"dot{bits}",
        bindings=(
            Binding.of("codes", "?x256xi8"),
            Binding(name="x", memref="?x4xi32", tensor="?x16xi8"),
            Binding.of("x_sum", "?x1xi32"),
            Binding.of("sums", "?x16xi32", access="write"),
        ),
        dimensions={"rows": ("codes", 0)},
        row_tile=1,
        body=body,
    )


def _cases(bits: int) -> tuple[NDArray[np.uint8], NDArray[np.int8]]:
    """codes [cases, 16 rows, 16 k] and x [cases, 16]: each of the extreme pairs everywhere, alternating, and at random.

    x reaches -128: remainders of activations do, though their codes stop at -127.
    """
    random, most = np.random.default_rng(bits), 2**bits - 1
    extremes = np.array([(c, x) for c in (0, 1, most // 2, most - 1, most) for x in (-128, -127, -1, 0, 126, 127)])
    codes = [np.full((16, 16), c) for c, _ in extremes]
    xs = [np.full(16, x) for _, x in extremes]
    for _ in range(500):
        chosen = extremes[random.integers(0, len(extremes), 16)]
        codes += [np.broadcast_to(chosen[:, 0], (16, 16)), random.integers(0, most + 1, (16, 16))]
        xs += [chosen[:, 1], random.integers(-128, 128, 16)]
    return np.array(codes, np.uint8), np.array(xs, np.int8)


@pytest.mark.parametrize("isa", isas_here(), ids=lambda isa: isa.name)
def test_sums_are_exact(isa: Isa) -> None:
    kernels = {bits: _kernel(bits) for bits in WIDTHS}
    run = KernelRunner(list(kernels.values()), isa)
    for bits, kernel in kernels.items():
        codes, x = _cases(bits)
        lines = codes.reshape(-1, 16, 4, 4).transpose(0, 2, 1, 3).reshape(-1, 256).view(np.int8)
        x_sum = x.sum(axis=1, keepdims=True, dtype=np.int32)
        (found,) = run(kernel, np.ascontiguousarray(lines), x, x_sum)
        assert np.array_equal(found, np.einsum("crk,ck->cr", codes.astype(np.int32), x.astype(np.int32))), bits
