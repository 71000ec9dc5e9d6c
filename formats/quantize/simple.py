"""float32 to GGML's blocks of 32 with one float16 scale; where nothing is weighed, bit for bit what GGML itself stores.

An importance (how much each column of the matrix matters) makes a search of what is a division without it.
"""

from collections.abc import Callable

import numpy as np

from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quantize.lanes import codes_of, extremes, half_bytes, lanes, reciprocals
from sharkpack.formats.quantize.search import clip, fit_affine, fit_largest_weight, fit_symmetric, weighed_search

Encoder = Callable[[Floats, Floats | None], Bytes]
"""Takes float32 [rows, columns] and weights of that shape or None; gives uint8 [rows * blocks, block bytes]."""


def encode_q8_0(values: Floats, weights: Floats | None) -> Bytes:
    """Rounds halves away from zero where nothing is weighed."""
    x = lanes(values, 32)
    if weights is not None:
        scale = fit_largest_weight(x, lanes(weights, 32), top=127)
        codes = clip(np.rint(x * reciprocals(scale)), -128, 127)
        return np.concatenate([half_bytes(scale), codes_of(codes + np.float32(128)) ^ np.uint8(128)], axis=1)
    scale = np.divide(np.abs(extremes(x)), np.float32(127))
    x *= reciprocals(scale)
    whole = np.trunc(x)
    x -= whole
    x += x
    whole += np.trunc(x, out=x)
    return np.concatenate([half_bytes(scale), codes_of(whole + np.float32(128)) ^ np.uint8(128)], axis=1)


def symmetric(bits: int) -> Encoder:
    """Q4_0 and Q5_0: codes about a zero point, the value furthest from zero at the lowest of them."""
    half = 1 << (bits - 1)

    def encode(values: Floats, weights: Floats | None) -> Bytes:
        x = lanes(values, 32)
        if weights is None:
            scale = extremes(x) / np.float32(-half)
            codes = np.trunc(x * reciprocals(scale) + np.float32(half + 0.5))
            np.minimum(codes, np.float32(2 * half - 1), out=codes)
        else:
            scale, inverse = fit_symmetric(x, lanes(weights, 32), half)
            codes = np.rint(x * inverse) + np.float32(half)
            np.minimum(np.maximum(codes, 0, out=codes), np.float32(2 * half - 1), out=codes)
            codes[:, inverse == 0] = 0
        return np.concatenate([half_bytes(scale), _code_bytes(codes_of(codes), bits)], axis=1)

    return encode


def affine(bits: int) -> Encoder:
    """Q4_1 and Q5_1: codes from the minimum up."""
    top = (1 << bits) - 1
    search = weighed_search(top)

    def encode(values: Floats, weights: Floats | None) -> Bytes:
        x = lanes(values, 32)
        if weights is None:
            low = x.min(axis=0)
            scale = (x.max(axis=0) - low) / np.float32(top)
            codes = np.trunc((x - low) * reciprocals(scale) + np.float32(0.5))
            np.minimum(codes, np.float32(top), out=codes)
        else:
            fit = fit_affine(x, lanes(weights, 32), search)
            scale, low, codes = fit.scale, fit.low, fit.codes(x)
        return np.concatenate([half_bytes(scale), half_bytes(low), _code_bytes(codes_of(codes), bits)], axis=1)

    return encode


def _code_bytes(codes: Bytes, bits: int) -> Bytes:
    """uint8 [n, 32] codes as nibbles, after the plane of fifth bits if there is one."""
    nibbles = (codes[:, :16] & np.uint8(15)) | (codes[:, 16:] << np.uint8(4))
    if bits == 4:
        return nibbles
    return np.concatenate([np.packbits(codes >> np.uint8(4), axis=1, bitorder="little"), nibbles], axis=1)
