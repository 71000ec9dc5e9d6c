"""The look-up leaf: every code in every lane, on every instruction set."""

import numpy as np
import pytest

from sharkpack.templates.kernels.emitter import I8, Binding, Emitter
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.lookup import lookup16
from tests.templates.kernel_runner import KernelRunner, isas_here

TABLE = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
UNSIGNED = (0, 1, 127, 128, 129, 255, 3, 77, 200, 16, 15, 254, 64, 32, 8, 99)


def _kernel(name: str, table: tuple[int, ...]) -> Kernel:
    def body(e: Emitter) -> None:
        at = ["%group_x", "%origin"]
        e.store(lookup16(e, e.load("codes", at, I8), table), "y", at, I8)

    return Kernel(
        name=name,
        bindings=(
            Binding.of("codes", "?x64xi8"),
            Binding.of("y", "?x64xi8", access="write"),
        ),
        dimensions={"rows": ("codes", 0)},
        row_tile=1,
        body=body,
    )


@pytest.mark.parametrize("isa", isas_here(), ids=lambda isa: isa.name)
def test_every_code_in_every_lane(isa: Isa) -> None:
    cases = [(_kernel("signed", TABLE), TABLE), (_kernel("unsigned", UNSIGNED), UNSIGNED)]
    run = KernelRunner([kernel for kernel, _ in cases], isa)
    codes = (np.arange(64)[None, :] + np.arange(16)[:, None]).astype(np.int8) % 16
    for kernel, table in cases:
        (found,) = run(kernel, codes)
        assert np.array_equal(found, np.array(table).astype(np.int8)[codes])
