"""GGML's blocks of 32 with one float16 scale (ggml-common.h: block_q4_0 ... block_q8_0), to codes."""

import numpy as np

from sharkpack.formats.quant.block import Bytes, DecodedBlocks, float16_at


def nibbles(packed: Bytes) -> Bytes:
    """[n, 16] bytes to [n, 1, 32]: low nibbles first."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)[:, None]


def _fifth_bits(plane: Bytes) -> Bytes:
    """[n, 4] bytes to [n, 1, 32]: 16 where the bit of that element is set."""
    return (np.unpackbits(plane, axis=1, bitorder="little") << np.uint8(4))[:, None]


def decode_q4_0(blocks: Bytes) -> DecodedBlocks:
    return DecodedBlocks(codes=nibbles(blocks[:, 2:18]), scales=float16_at(blocks, 0)[:, None])


def decode_q4_1(blocks: Bytes) -> DecodedBlocks:
    scales, mins = float16_at(blocks, 0)[:, None], float16_at(blocks, 2)[:, None]
    return DecodedBlocks(codes=nibbles(blocks[:, 4:20]), scales=scales, mins=mins)


def decode_q5_0(blocks: Bytes) -> DecodedBlocks:
    codes = nibbles(blocks[:, 6:22]) | _fifth_bits(blocks[:, 2:6])
    return DecodedBlocks(codes=codes, scales=float16_at(blocks, 0)[:, None])


def decode_q5_1(blocks: Bytes) -> DecodedBlocks:
    codes = nibbles(blocks[:, 8:24]) | _fifth_bits(blocks[:, 4:8])
    scales, mins = float16_at(blocks, 0)[:, None], float16_at(blocks, 2)[:, None]
    return DecodedBlocks(codes=codes, scales=scales, mins=mins)


def decode_q8_0(blocks: Bytes) -> DecodedBlocks:
    return DecodedBlocks(codes=(blocks[:, 2:34] ^ np.uint8(128))[:, None], scales=float16_at(blocks, 0)[:, None])
