"""GGML's IQ super-blocks of 256 with codebooks (ggml-common.h: block_iq2_xxs ... block_iq1_m), to codes.

A code is a magnitude's number with its sign as the highest bit; in the IQ1 types, a value's with the sign of the shift.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.quant.block import Bytes, DecodedBlocks, float16_at
from sharkpack.formats.quant.codebooks import codebook, signs_of_seven

IQ2_VALUES = (8, 25, 43, 0, -8, -25, -43, 0)
IQ3_XXS_VALUES = (4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62)
IQ3_S_VALUES = (1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15)
IQ1_VALUES = (-7, 1, 9, 0, -9, -1, 7, 0)
"""Eight times -1, 0 and 1, moved up by one or down by one."""

Words = NDArray[np.uint32]


def decode_iq2_xxs(blocks: Bytes) -> DecodedBlocks:
    words = _uint(blocks[:, 2:66], "<u4").reshape(-1, 8, 2)
    indices = np.ascontiguousarray(words[..., 0]).view(np.uint8)
    return _signed("iq2_xxs", 2, indices, _signs_of(words[..., 1]), _odd(words[..., 1] >> 28), blocks)


def decode_iq2_xs(blocks: Bytes) -> DecodedBlocks:
    words = _uint(blocks[:, 2:66], "<u2")
    signs = _bits(signs_of_seven()[words >> 9])
    return _signed("iq2_xs", 2, words & np.uint16(511), signs, _odd(_fields(blocks[:, 66:74], 4)), blocks)


def decode_iq2_s(blocks: Bytes) -> DecodedBlocks:
    indices = blocks[:, 2:34] | (_fields(blocks[:, 66:74], 2).astype(np.uint16) << 8)
    return _signed("iq2_s", 2, indices, _bits(blocks[:, 34:66]), _odd(_fields(blocks[:, 74:82], 4)), blocks)


def decode_iq3_xxs(blocks: Bytes) -> DecodedBlocks:
    words = _uint(blocks[:, 66:98], "<u4")
    return _signed("iq3_xxs", 3, blocks[:, 2:66], _signs_of(words), _odd(words >> 28), blocks)


def decode_iq3_s(blocks: Bytes) -> DecodedBlocks:
    indices = blocks[:, 2:66] | (_fields(blocks[:, 66:74], 1).astype(np.uint16) << 8)
    return _signed("iq3_s", 3, indices, _bits(blocks[:, 74:106]), _odd(_fields(blocks[:, 106:110], 4)), blocks)


def decode_iq1_s(blocks: Bytes) -> DecodedBlocks:
    high = _uint(blocks[:, 34:50], "<u2")
    upper = (high[..., None] >> np.arange(0, 12, 3, dtype=np.uint16)) & np.uint16(7)
    indices = blocks[:, 2:34] | (upper.reshape(-1, 32) << np.uint16(8))
    lowered = np.repeat(high >> 15, 32, axis=1).astype(np.uint8)
    return _signed("iq1", 2, indices, lowered, _odd((high >> 12) & 7), blocks)


def decode_iq1_m(blocks: Bytes) -> DecodedBlocks:
    high, words = _fields(blocks[:, 32:48], 4), _uint(blocks[:, 48:56], "<u2")
    indices = blocks[:, :32] | ((high & np.uint8(7)).astype(np.uint16) << 8)
    lowered = np.repeat(high >> 3, 8, axis=1)
    scales = (words[..., None] >> np.arange(0, 12, 3, dtype=np.uint16)) & np.uint16(7)
    d = ((words >> 12) << np.arange(0, 16, 4, dtype=np.uint16)).sum(axis=1, dtype=np.uint16).view(np.float16)
    return _signed("iq1", 2, indices, lowered, _odd(scales.reshape(-1, 16)), blocks, d)


def _signed(
    book: str,
    sign_bit: int,
    indices: NDArray[np.integer[Any]],
    signs: Bytes,
    scales: NDArray[np.int8],
    blocks: Bytes,
    d: NDArray[np.float16] | None = None,
) -> DecodedBlocks:
    """Codes of the entries `indices` [n, entries] with `signs` [n, 256], under `scales` [n, sub-blocks]."""
    codes = codebook(book)[indices].reshape(signs.shape) | (signs << np.uint8(sign_bit))
    by_scale = codes.reshape(*scales.shape, 256 // scales.shape[1])
    return DecodedBlocks(codes=by_scale, scales=scales, d=float16_at(blocks, 0) if d is None else d)


def _odd(numbers: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
    """2 n + 1: GGML's scales of n and a half, in halves."""
    return (2 * numbers.astype(np.int8) + np.int8(1)).astype(np.int8)


def _signs_of(words: Words) -> Bytes:
    """4 x 7 bits of each word, uint32 [n, 8], to 256 signs."""
    seven = (words[..., None] >> np.arange(0, 28, 7, dtype=np.uint32)) & np.uint32(127)
    return _bits(signs_of_seven()[seven].reshape(len(words), -1))


def _bits(packed: Bytes) -> Bytes:
    """[n, bytes] to [n, 8 * bytes] of 0 and 1, low bits first."""
    return np.unpackbits(packed, axis=1, bitorder="little")


def _fields(packed: Bytes, width: int) -> Bytes:
    """[n, bytes] to its fields of `width` bits [n, fields], low bits first."""
    shifts = np.arange(0, 8, width, dtype=np.uint8)
    return ((packed[..., None] >> shifts) & np.uint8((1 << width) - 1)).reshape(len(packed), -1)


def _uint(part: Bytes, dtype: str) -> NDArray[Any]:
    return np.ascontiguousarray(part).view(dtype)
