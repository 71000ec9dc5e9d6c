"""float32 to GGML's K-quants: super-blocks of 256, each sub-block's scale and minimum searched for, then rounded.

After llama.cpp's quantize_row_*_ref, and quantize_row_*_impl where an importance is given.
"""

import numpy as np

from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quantize.lanes import TINY, codes_of, half_bytes, lanes, through_half
from sharkpack.formats.quantize.search import (
    Affine,
    AffineSearch,
    clip,
    fit_affine,
    fit_positive,
    fit_symmetric,
    fit_symmetric_by_turns,
    symmetric_codes,
    weighed_search,
)

_SUPER = 256


def encode_q2_k(values: Floats, weights: Floats | None) -> Bytes:
    if weights is None:
        x, weighing = lanes(values, 16), np.abs(lanes(values, 16))
        fit = fit_affine(x, weighing, AffineSearch(top=3, first=-0.5, step=0.1, steps=15, absolute=True))
        d, scales = _round_scales(fit.scale, 16, 15)
        dmin, mins = _round_scales(-fit.low, 16, 15)
    else:
        x, weighing = lanes(values, 16), lanes(weights, 16)
        fit = fit_affine(x, weighing, weighed_search(3))
        sums = weighing.sum(axis=0)
        d, scales = _fit_scales(fit.scale, sums, 16, 15)
        dmin, mins = _fit_scales(-fit.low, sums, 16, 15)
    codes = _affine_codes(x, (d, scales), (dmin, mins), fit)
    packed = scales.astype(np.uint8) | (mins.astype(np.uint8) << np.uint8(4))
    return np.concatenate([packed, _pairs(codes), half_bytes(d), half_bytes(dmin)], axis=1)


def encode_q3_k(values: Floats, weights: Floats | None) -> Bytes:
    x = lanes(values, 16)
    searched: Floats
    if weights is None:
        scale, searched = fit_symmetric_by_turns(x, 4)
        found = scale.reshape(-1, 16)
        inverse = _over(np.float32(-32), _extreme_of(found))
        scales = clip(np.rint(found * inverse[:, None]), -32, 31)
        d = _over(np.float32(1), inverse)
        scales[inverse == 0] = -32
    else:
        weighing = lanes(weights, 16)
        found, of_codes = fit_symmetric(x, weighing, 4)
        searched = symmetric_codes(x, of_codes, 4)
        d, inverse = fit_symmetric(lanes(found, 16), lanes(weighing.sum(axis=0), 16), 32)
        scales = clip(np.rint(found.reshape(-1, 16) * inverse[:, None]), -32, 31)
        scales[inverse == 0] = -32
    codes = _symmetric_codes(x, d, scales, 4, searched)
    high = np.packbits((codes >> np.uint8(2)).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    scale_bytes = _q3_scales((scales + np.float32(32)).astype(np.uint8))
    return np.concatenate([high, _pairs(codes & np.uint8(3)), scale_bytes, half_bytes(d)], axis=1)


def encode_q6_k(values: Floats, weights: Floats | None) -> Bytes:
    x = lanes(values, 16)
    scale, of_codes = fit_symmetric(x, x * x if weights is None else lanes(weights, 16), 32)
    found = scale.reshape(-1, 16)
    extreme = _extreme_of(found)
    inverse = _over(np.float32(-128), np.where(np.abs(extreme) < TINY, np.float32(0), extreme))
    scales = clip(np.rint(found * inverse[:, None]), -128, 127)
    d = _over(np.float32(1), inverse)
    searched = symmetric_codes(x, of_codes, 32)
    searched.reshape(16, -1, 16)[:, inverse == 0] = 0
    codes = _symmetric_codes(x, d, scales, 32, searched).reshape(-1, 2, 4, 32)
    nibbles = (codes[:, :, :2] & np.uint8(15)) | (codes[:, :, 2:] << np.uint8(4))
    low, high = nibbles.reshape(-1, 128), _pairs(codes >> np.uint8(4))
    return np.concatenate([low, high, scales.astype(np.int8).view(np.uint8), half_bytes(d)], axis=1)


def encode_q4_k(values: Floats, weights: Floats | None) -> Bytes:
    search = AffineSearch(top=15, first=-1.0, step=0.1, steps=20)
    head, codes = _encode_with_minimums(values, weights, search)
    return np.concatenate([head, _nibbles(codes)], axis=1)


def encode_q5_k(values: Floats, weights: Floats | None) -> Bytes:
    search = AffineSearch(top=31, first=-0.5, step=0.1, steps=15)
    head, codes = _encode_with_minimums(values, weights, search)
    fifth = np.packbits((codes >> np.uint8(4)).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    return np.concatenate([head, fifth, _nibbles(codes & np.uint8(15))], axis=1)


def _encode_with_minimums(values: Floats, weights: Floats | None, search: AffineSearch) -> tuple[Bytes, Bytes]:
    """The first 16 bytes of each block of Q4_K or Q5_K, and its codes [n, 256]."""
    x = lanes(values, 32)
    if weights is None:
        mean = np.sqrt((x * x).sum(axis=0) / np.float32(32))
        fit = fit_affine(x, mean + np.abs(x), search)
        d, scales = _round_scales(fit.scale, 8, 63)
        dmin, mins = _round_scales(-fit.low, 8, 63)
    else:
        weighing = lanes(weights, 32)
        fit = fit_affine(x, weighing, weighed_search(search.top))
        sums = weighing.sum(axis=0)
        d, scales = _fit_scales(fit.scale, sums, 8, 63)
        dmin, mins = _fit_scales(-fit.low, sums, 8, 63)
    codes = _affine_codes(x, (d, scales), (dmin, mins), fit)
    packed = _six_bit_pairs(scales.astype(np.uint8), mins.astype(np.uint8))
    return np.concatenate([half_bytes(d), half_bytes(dmin), packed], axis=1), codes


def _round_scales(found: Floats, each: int, top: int) -> tuple[Floats, Floats]:
    """The block's scale [n], and its sub-blocks' as whole numbers [n, each]; the largest becomes `top`."""
    by_block = found.reshape(-1, each)
    largest = np.maximum(by_block.max(axis=1), np.float32(0))
    inverse = _over(np.float32(top), largest)
    return largest / np.float32(top), clip(np.rint(by_block * inverse[:, None]), 0, top)


def _fit_scales(found: Floats, weights: Floats, each: int, top: int) -> tuple[Floats, Floats]:
    """The same, searched for with the weights of the sub-blocks."""
    d, codes = fit_positive(lanes(found, each), lanes(weights, each), top)
    return d, np.ascontiguousarray(codes.T)


def _affine_codes(x: Floats, scale: tuple[Floats, Floats], minimum: tuple[Floats, Floats], fit: Affine) -> Bytes:
    """uint8 [n, 256], by the scales and minimums as a reader will find them.

    Where the scale was rounded to 0 no code means anything; those of the search stay, as in llama.cpp.
    """
    (d, scales), (dmin, mins) = scale, minimum
    step, low = (through_half(d)[:, None] * scales).reshape(-1), (through_half(dmin)[:, None] * mins).reshape(-1)
    codes = x + low
    codes /= np.where(step == 0, np.float32(1), step)
    clip(np.rint(codes, out=codes), 0, fit.top)
    lost = np.flatnonzero(step == 0)
    codes[:, lost] = fit.codes_of_columns(x, lost)
    return codes_of(codes).reshape(-1, _SUPER)


def _symmetric_codes(x: Floats, d: Floats, scales: Floats, half: int, searched: Floats) -> Bytes:
    """uint8 [n, 256], by the scales as a reader will find them; those `searched` where the scale was rounded to 0."""
    step = (through_half(d)[:, None] * scales).reshape(-1)
    codes: Floats = np.divide(x, np.where(step == 0, np.float32(1), step))
    clip(np.rint(codes, out=codes), -half, half - 1)
    codes += np.float32(half)
    lost = np.flatnonzero(step == 0)
    codes[:, lost] = searched[:, lost]
    return codes_of(codes).reshape(-1, _SUPER)


def _extreme_of(scales: Floats) -> Floats:
    """[n]: of each row the number furthest from zero, the first of them where two are equally far."""
    at = np.abs(scales).argmax(axis=1)
    found: Floats = scales[np.arange(len(scales)), at]
    return found


def _over(number: np.float32, x: Floats) -> Floats:
    """number / x, and 0 where x is 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.where(x == 0, np.float32(0), number / x)


def _six_bit_pairs(scales: Bytes, mins: Bytes) -> Bytes:
    """8 scales and 8 minimums of 6 bits in 12 bytes: four whole, four with their top two bits above the others."""
    four, six, low = np.uint8(4), np.uint8(6), np.uint8(15)
    first = scales[:, :4] | ((scales[:, 4:] >> four) << six)
    second = mins[:, :4] | ((mins[:, 4:] >> four) << six)
    third = (scales[:, 4:] & low) | (mins[:, 4:] << four)
    return np.concatenate([first, second, third], axis=1)


def _q3_scales(scales: Bytes) -> Bytes:
    """16 scales of 6 bits in 12 bytes: 8 pairs of low nibbles, then 4 bytes with the top two bits of four each."""
    low = (scales[:, :8] & np.uint8(15)) | (scales[:, 8:] << np.uint8(4))
    top = (scales >> np.uint8(4)).reshape(-1, 4, 4)
    return np.concatenate([low, _four_to_a_byte(top)], axis=1)


def _pairs(codes: Bytes) -> Bytes:
    """[n, 256] codes of 2 bits to [n, 64]: of each 128, those 32 apart share a byte."""
    return _four_to_a_byte(codes.reshape(-1, 4, 32)).reshape(-1, 64)


def _four_to_a_byte(codes: Bytes) -> Bytes:
    """[n, 4, m] codes of 2 bits to [n, m]."""
    low, high = codes[:, 0] | (codes[:, 1] << np.uint8(2)), codes[:, 2] | (codes[:, 3] << np.uint8(2))
    packed: Bytes = low | (high << np.uint8(4))
    return packed


def _nibbles(codes: Bytes) -> Bytes:
    """[n, 256] codes of 4 bits to [n, 128]: those 32 apart share a byte."""
    pairs = codes.reshape(-1, 4, 2, 32)
    return (pairs[:, :, 0] | (pairs[:, :, 1] << np.uint8(4))).reshape(-1, 128)
