"""GGML's ternary blocks of 256 with one float16 scale (ggml-common.h: block_tq1_0, block_tq2_0), to codes 0, 1, 2."""

import numpy as np

from sharkpack.formats.quant.block import Bytes, DecodedBlocks, float16_at
from sharkpack.formats.quant.k_blocks import two_bit_codes

_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)[:, None]


def decode_tq1_0(blocks: Bytes) -> DecodedBlocks:
    parts = [_base_three(blocks[:, :32], 5), _base_three(blocks[:, 32:48], 5), _base_three(blocks[:, 48:52], 4)]
    return _under_one_scale(np.concatenate(parts, axis=1), blocks, 52)


def decode_tq2_0(blocks: Bytes) -> DecodedBlocks:
    return _under_one_scale(two_bit_codes(blocks[:, :64]), blocks, 64)


def _base_three(packed: Bytes, digits: int) -> Bytes:
    """[n, bytes] to [n, digits * bytes]: the first digits of all bytes, then the second ones, and so on.

    A byte is a fraction of 256; its digits come out at the top as it is multiplied by three.
    """
    moved = packed[:, None] * _POWERS[:digits]
    return ((moved.astype(np.uint16) * 3) >> 8).astype(np.uint8).reshape(len(packed), -1)


def _under_one_scale(codes: Bytes, blocks: Bytes, d_at: int) -> DecodedBlocks:
    ones = np.ones((len(blocks), 8), np.int8)
    return DecodedBlocks(codes=codes.reshape(-1, 8, 32), scales=ones, d=float16_at(blocks, d_at))
