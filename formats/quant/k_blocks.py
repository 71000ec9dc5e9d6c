"""GGML's K-quant super-blocks of 256 (ggml-common.h: block_q2_K ... block_q6_K), to codes."""

import numpy as np
from numpy.typing import NDArray

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


def two_bit_codes(packed: Bytes) -> Bytes:
    """[n, 64] bytes to [n, 8, 32]: of each 32 bytes the lowest pairs of bits, then the next ones, and so on."""
    shift = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    return ((packed.reshape(-1, 2, 1, 32) >> shift) & np.uint8(3)).reshape(-1, 8, 32)


def bits_of_lanes(packed: Bytes) -> Bytes:
    """[n, 32] bytes to [n, 8, 32] of 0 and 1: the lowest bits, then the next ones, and so on."""
    return (packed[:, None] >> np.arange(8, dtype=np.uint8)[:, None]) & np.uint8(1)


def scales_of_q3_k(packed: Bytes) -> NDArray[np.int8]:
    """16 scales of 6 bits less 32, int8 [..., 16], of 12 bytes: low nibbles of 8 bytes, high nibbles, pairs of bits."""
    low = np.concatenate([packed[..., :8] & 15, packed[..., :8] >> 4], axis=-1)
    pairs = [(packed[..., 8:12] >> shift) & 3 for shift in (0, 2, 4, 6)]
    whole = low | (np.concatenate(pairs, axis=-1) << np.uint8(4))
    scales: NDArray[np.int8] = (whole - np.uint8(32)).view(np.int8)
    return scales


def decode_q2_k(blocks: Bytes) -> DecodedBlocks:
    codes = two_bit_codes(blocks[:, 16:80]).reshape(-1, 16, 16)
    scales, mins = blocks[:, :16] & np.uint8(15), blocks[:, :16] >> np.uint8(4)
    return DecodedBlocks(codes=codes, scales=scales, mins=mins, d=float16_at(blocks, 80), dmin=float16_at(blocks, 82))


def decode_q3_k(blocks: Bytes) -> DecodedBlocks:
    codes = two_bit_codes(blocks[:, 32:96]) | (bits_of_lanes(blocks[:, :32]) << np.uint8(2))
    return DecodedBlocks(
        codes=codes.reshape(-1, 16, 16), scales=scales_of_q3_k(blocks[:, 96:108]), d=float16_at(blocks, 108)
    )


def decode_q4_k(blocks: Bytes) -> DecodedBlocks:
    scales, mins = _scales_and_mins(blocks[:, 4:16])
    d, dmin = float16_at(blocks, 0), float16_at(blocks, 2)
    return DecodedBlocks(codes=_nibbles(blocks[:, 16:144]), scales=scales, mins=mins, d=d, dmin=dmin)


def decode_q5_k(blocks: Bytes) -> DecodedBlocks:
    scales, mins = _scales_and_mins(blocks[:, 4:16])
    d, dmin = float16_at(blocks, 0), float16_at(blocks, 2)
    fifth = bits_of_lanes(blocks[:, 16:48]) << np.uint8(4)
    return DecodedBlocks(codes=_nibbles(blocks[:, 48:176]) | fifth, scales=scales, mins=mins, d=d, dmin=dmin)


def decode_q6_k(blocks: Bytes) -> DecodedBlocks:
    low, high = blocks[:, :128].reshape(-1, 2, 1, 64), blocks[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2).reshape(-1, 16, 16)
    shift = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    codes = nibbles | (((high >> shift) & np.uint8(3)) << np.uint8(4)).reshape(-1, 16, 16)
    return DecodedBlocks(codes=codes, scales=blocks[:, 192:208].view(np.int8), d=float16_at(blocks, 208))
