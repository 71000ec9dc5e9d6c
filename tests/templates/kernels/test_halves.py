"""f16 to f32 and back, beside numpy: every half, and floats around each place where rounding changes."""

import numpy as np
import pytest

from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.halves import F16, narrow, widen
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from tests.templates.kernel_runner import KernelRunner, isas_here


def _kernel(name: str, source: str, target: str) -> Kernel:
    def body(e: Emitter) -> None:
        at = ["%group_x", "%origin"]
        if name == "widen":
            e.store(widen(e, e.load("x", at, F16)), "y", at, F32)
        else:
            e.store(narrow(e, e.load("x", at, F32)), "y", at, F16)

    return Kernel(
        name=name,
        bindings=(
            Binding.of("x", f"?x16x{source}"),
            Binding.of("y", f"?x16x{target}", access="write"),
        ),
        dimensions={"rows": ("x", 0)},
        row_tile=1,
        body=body,
    )


@pytest.mark.parametrize("isa", isas_here(), ids=lambda isa: isa.name)
def test_every_half_there_and_back(isa: Isa) -> None:
    there, back = _kernel("widen", "f16", "f32"), _kernel("narrow", "f32", "f16")
    run = KernelRunner([there, back], isa)
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 16)
    (wide,) = run(there, halves)
    assert np.array_equal(wide, halves.astype(np.float32), equal_nan=True)
    (same,) = run(back, wide)
    known = ~np.isnan(halves)
    assert np.array_equal(same.view(np.uint16)[known], halves.view(np.uint16)[known])
    assert np.isnan(same[~known]).all()


@pytest.mark.parametrize("isa", isas_here(), ids=lambda isa: isa.name)
def test_rounding_is_to_nearest_even(isa: Isa) -> None:
    """Each half, the middle between it and the next, and the floats beside those."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[1:] + halves[:-1]) / 2
    points = np.concatenate([halves, middles, [65519.0, 65520.0, 65536.0, 1e30, np.inf, 1e-40, 2.0**-25]])
    points = points.astype(np.float32)
    around = np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-1))])
    x = np.resize(np.concatenate([around, -around]), (2 * len(around) // 16 + 1, 16))
    kernel = _kernel("narrow", "f32", "f16")
    (found,) = KernelRunner([kernel], isa)(kernel, x)
    with np.errstate(over="ignore"):
        assert np.array_equal(found.view(np.uint16), x.astype(np.float16).view(np.uint16))
