"""A NaN or an infinity in a packed matrix is found, wherever it is, and nothing else is taken for one."""

import numpy as np
import pytest

from sharkpack.formats.packing import LAYOUTS, pack
from sharkpack.formats.packing.finite import is_finite
from sharkpack.formats.quant.block import Bytes
from sharkpack.formats.quantize import QUANTIZERS, quantize

ROWS, COLUMNS = 32, 512
FLOATS = {"f32": "<f4", "f16": "<f2", "bf16": "<u2"}
HALVES = {"q4_0": (0,), "q4_1": (0, 2), "q5_1": (0, 2), "q8_0": (0,), "q4_k": (0, 2), "q5_k": (0, 2), "q6_k": (208,)}
"""Where a block has its float16 numbers."""


def _packed(name: str, blocks: Bytes) -> bool:
    layout = LAYOUTS[name]
    return is_finite(layout, pack(layout, blocks.reshape(-1), (ROWS, COLUMNS)), COLUMNS)


def _blocks(name: str) -> Bytes:
    values = np.random.default_rng(0).normal(0, 1, (ROWS, COLUMNS)).astype(np.float32)
    return quantize(name.upper(), values)


@pytest.mark.parametrize("name", list(HALVES))
@pytest.mark.parametrize("bits", [0x7C00, 0xFC00, 0x7E00, 0xFFFF])
def test_scales_and_minimums(name: str, bits: int) -> None:
    blocks = _blocks(name)
    assert _packed(name, blocks)
    size = QUANTIZERS[name.upper()].block_bytes
    for offset in HALVES[name]:
        spoilt = blocks.reshape(-1, size).copy()
        spoilt[-1, offset : offset + 2] = np.array([bits], "<u2").view(np.uint8)
        assert not _packed(name, spoilt)
        spoilt[-1, offset : offset + 2] = np.array([0xFBFF], "<u2").view(np.uint8)  # the lowest number that there is
        assert _packed(name, spoilt)


@pytest.mark.parametrize("name", list(FLOATS))
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_floats(name: str, value: float) -> None:
    blocks = _blocks(name)
    assert _packed(name, blocks)
    elements = blocks.reshape(-1).view(FLOATS[name])
    if name == "bf16":
        elements[777] = np.array([value], np.float32).view(np.uint32)[0] >> 16
    else:
        elements[777] = value
    assert not _packed(name, blocks)
