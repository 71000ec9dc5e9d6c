"""GGML's K-quant super-blocks of 256 (ggml-common.h: block_q4_K, block_q5_K, block_q6_K), to codes."""

import numpy as np

from sharkpack.formats.quant.block import Bytes, DecodedBlocks, float16_at


def _scales_and_mins(packed: Bytes) -> tuple[Bytes, Bytes]:
    """12 bytes a block to 8 scales and 8 minimums of 6 bits: four whole, four with their top two bits elsewhere."""
    scale, minimum, rest = packed[:, 0:4], packed[:, 4:8], packed[:, 8:12]
    scales = np.concatenate([scale & 63, (rest & 15) | ((scale >> 2) & 48)], axis=1)
    mins = np.concatenate([minimum & 63, (rest >> 4) | ((minimum >> 2) & 48)], axis=1)
    return scales, mins


def _nibbles(packed: Bytes) -> Bytes:
    """[n, 128] bytes to [n, 8, 32]: of each 32 bytes the low nibbles, then the high ones."""
    pairs = packed.reshape(-1, 4, 1, 32)
    return np.concatenate([pairs & 15, pairs >> 4], axis=2).reshape(-1, 8, 32)


def decode_q4_k(blocks: Bytes) -> DecodedBlocks:
    scales, mins = _scales_and_mins(blocks[:, 4:16])
    d, dmin = float16_at(blocks, 0), float16_at(blocks, 2)
    return DecodedBlocks(codes=_nibbles(blocks[:, 16:144]), scales=scales, mins=mins, d=d, dmin=dmin)


def decode_q5_k(blocks: Bytes) -> DecodedBlocks:
    scales, mins = _scales_and_mins(blocks[:, 4:16])
    d, dmin = float16_at(blocks, 0), float16_at(blocks, 2)
    shift = np.arange(8, dtype=np.uint8)[:, None]
    fifth = ((blocks[:, None, 16:48] >> shift) & np.uint8(1)) << np.uint8(4)
    return DecodedBlocks(codes=_nibbles(blocks[:, 48:176]) | fifth, scales=scales, mins=mins, d=d, dmin=dmin)


def decode_q6_k(blocks: Bytes) -> DecodedBlocks:
    low, high = blocks[:, :128].reshape(-1, 2, 1, 64), blocks[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 16, 16)
    shift = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    codes = nibbles | (((high >> shift) & np.uint8(3)) << np.uint8(4)).reshape(-1, 16, 16)
    return DecodedBlocks(codes=codes, scales=blocks[:, 192:208].view(np.int8), d=float16_at(blocks, 208))
