"""Rows of a packed table, of every layout, equal to the source's own values."""

from functools import cache

import numpy as np
import pytest
import torch

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates import ops
from sharkpack.templates.kernels.embedding import embedding
from sharkpack.templates.kernels.isa import Isa
from tests.templates.kernel_runner import KernelRunner, unlike_isas_here
from tests.templates.weights import random_matrix

N = 40
WIDTHS = {"float": 7, "simple": 96, "superblock": 512}  # 96: three blocks, where a tile may hold two
KERNELS = {name: embedding(N, WIDTHS[layout.kind], name) for name, layout in LAYOUTS.items()}


@cache
def _runner(isa: Isa) -> KernelRunner:
    return KernelRunner(list(KERNELS.values()), isa)


# The kernel is scalar code, the same for all instruction sets: the first and the last of this machine compile it.
@pytest.mark.parametrize("isa", unlike_isas_here()[:: max(1, len(unlike_isas_here()) - 1)], ids=lambda isa: isa.name)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_the_sources(layout: str, isa: Isa) -> None:
    k = WIDTHS[LAYOUTS[layout].kind]
    matrix = random_matrix(layout, N, k)
    for tokens in (np.array([39]), np.array([3, 3, 0, 15, 16, 31, 32]), np.arange(N)[::-1]):
        (y,) = _runner(isa)(KERNELS[layout], np.ascontiguousarray(tokens), matrix.packed)
        eager = ops.embedding(torch.from_numpy(tokens.copy()), matrix.tensor, layout, N, k)
        assert np.array_equal(eager, matrix.values[tokens].astype(np.float32))
        # A minimum may be added fused: the last bit of the product is kept then.
        assert np.allclose(y, matrix.values[tokens], rtol=1e-6, atol=1e-6)
        if not LAYOUTS[layout].has_min:
            assert np.array_equal(y, matrix.values[tokens].astype(np.float32))
