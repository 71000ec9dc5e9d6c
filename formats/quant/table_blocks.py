"""GGML's blocks of 4-bit codes that number a table's values (block_iq4_nl, block_iq4_xs, block_mxfp4), to codes."""

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.quant.block import Bytes, DecodedBlocks, Floats, float16_at
from sharkpack.formats.quant.simple_blocks import nibbles

IQ4_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
MXFP4_VALUES = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
"""Twice the values of a 4-bit float of 2 exponent bits and 1 of mantissa (OCP Microscaling Formats 1.0, 5.3.3)."""


def decode_iq4_nl(blocks: Bytes) -> DecodedBlocks:
    return DecodedBlocks(codes=nibbles(blocks[:, 2:18]), scales=float16_at(blocks, 0)[:, None])


def decode_mxfp4(blocks: Bytes) -> DecodedBlocks:
    return DecodedBlocks(codes=nibbles(blocks[:, 1:17]), scales=half_powers_of_two(blocks[:, :1]))


def decode_iq4_xs(blocks: Bytes) -> DecodedBlocks:
    codes = nibbles(np.ascontiguousarray(blocks[:, 8:136]).reshape(-1, 16)).reshape(-1, 8, 32)
    return DecodedBlocks(codes=codes, scales=scales_of_iq4_xs(blocks), d=float16_at(blocks, 0))


def scales_of_iq4_xs(blocks: Bytes) -> NDArray[np.int8]:
    """8 scales of 6 bits less 32, int8 [..., 8], of blocks uint8 [..., 136]: low nibbles, then pairs of high bits."""
    low = (blocks[..., 4:8, None] >> np.array([0, 4], np.uint8)) & np.uint8(15)
    high = (blocks[..., 2:4, None] >> np.arange(0, 8, 2, dtype=np.uint8)) & np.uint8(3)
    whole = low.reshape(*low.shape[:-2], 8) | (high.reshape(*high.shape[:-2], 8) << np.uint8(4))
    scales: NDArray[np.int8] = (whole - np.uint8(32)).view(np.int8)
    return scales


def half_powers_of_two(exponents: Bytes) -> Floats:
    """2 ** (e - 128), half of the E8M0 scale, as float32: the table's values are doubled."""
    wide = exponents.astype(np.uint32)
    normal = (np.maximum(wide, 1) - np.uint32(1)) << np.uint32(23)
    bits: NDArray[np.uint32] = np.where(wide < 2, np.uint32(0x00200000) << np.minimum(wide, 1), normal)
    return bits.view(np.float32)
