"""The fused first half of a feed-forward block: the same numbers as its three operations one after the other."""

import pytest
import torch

from sharkpack.templates import ops
from sharkpack.templates.kernels.gated_matmul import gated_matmul
from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.ops.rounding import dequantize, quantize
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.kernels.beside_blocks import check_beside_blocks
from tests.templates.weights import random_matrix

# Layouts of gate and up, outputs, activation: one pair of tiles, an odd number of pairs, layouts that differ, cache
# lines of outputs in several workgroups, as many tiles in a workgroup as there may be.
CASES = [
    ("q4_1", "q4_1", 32, 96, "silu"),
    ("q5_0", "q8_0", 96, 64, "gelu"),
    ("q4_k", "q6_k", 64, 256, "gelu_f16"),
    ("q2_k", "iq3_s", 32, 256, "silu"),
    ("q4_1", "q4_1", 448, 64, "silu"),
    ("q4_1", "q4_1", 4096, 32, "silu"),
]


@pytest.mark.parametrize("isa", unlike_isas_here(), ids=lambda isa: isa.name)
def test_fused_is_the_three_operations(isa: Isa) -> None:
    torch.manual_seed(1)
    kernels = [gated_matmul(n, k, gate, up, activation) for gate, up, n, k, activation in CASES]
    run = KernelRunner(kernels, isa)
    for kernel, (gate_layout, up_layout, n, k, activation) in zip(kernels, CASES, strict=True):
        gate, up = (
            torch.from_numpy(random_matrix(layout, n, k, seed=seed).packed)
            for seed, layout in enumerate((gate_layout, up_layout))
        )
        for rows in (1, 4, 7):
            codes, scales = quantize(torch.randn(rows, k))[:2]
            x = dequantize(codes, scales, None)
            both = ((gate, gate_layout), (up, up_layout))
            a, b = (ops.matmul(x, weight, None, None, layout, n, k, "exact") for weight, layout in both)
            expected = quantize(ops.gated(a, b, activation))[:2]
            found_codes, found_scales = run(kernel, gate, up, codes, scales)
            wanted_codes, wanted_scales = (t.numpy() for t in expected)
            check_beside_blocks(found_codes, found_scales)
            largest = abs(wanted_scales[..., :4]).max()
            assert abs(found_codes.astype(int) - wanted_codes).max() <= 1
            assert abs(found_scales[..., :2] - wanted_scales[..., :2]).max() <= 2e-3 * largest
            values = (t.reshape(rows, -1, 2, 16) for t in (found_codes.astype(float), wanted_codes.astype(float)))
            exact = [v * s[..., :2, None] for v, s in zip(values, (found_scales, wanted_scales), strict=True)]
            assert abs(exact[0] - exact[1]).max() <= 1.01 * wanted_scales[..., :2].max()
