"""Checks what kernels and operators write beside each block of int8 activations."""

import numpy as np
import numpy.typing as npt

from sharkpack.templates.kernels.activation_block import BLOCK_SUM, DROP, LIFT, SCALE, SIZE, SUM

Floats = npt.NDArray[np.float32]


def check_beside_blocks(codes: npt.NDArray[np.int8], scales: Floats) -> None:
    """Checks codes [rows, k] and scales [rows, k/32, 8]: the sums are those of the codes, and -LIFT * d is exact."""
    assert scales.shape == (len(codes), codes.shape[1] // 32, SIZE)
    d = scales[..., SCALE : SCALE + 2]
    sums = codes.reshape(*d.shape, 16).astype(np.float64).sum(-1) * d
    assert np.allclose(scales[..., SUM : SUM + 2], sums, rtol=1e-6, atol=0)
    assert np.array_equal(scales[..., DROP : DROP + 2].astype(np.float64), -LIFT * d.astype(np.float64))
    assert np.array_equal(scales[..., BLOCK_SUM], scales[..., SUM] + scales[..., SUM + 1])
