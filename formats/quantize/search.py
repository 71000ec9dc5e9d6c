"""The scale, and the minimum where there is one, that lose least when a block's values are rounded to whole codes.

The searches are those of llama.cpp (ggml-quants.c: make_qx_quants, make_q3_quants, make_qkx2_quants, make_qp_quants),
but for `fit_largest_weight`, which has no counterpart there; on columns of `lanes` at once. Knows nothing of how a type
stores what is found.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.quant.block import Floats
from sharkpack.formats.quantize.lanes import TINY, aligned, extremes, reciprocals, through_half

_ROUNDS = 5  # of changing single codes, at most
_STEPS = 16  # of whole codes that the value with the largest weight may have; twice as many gain nothing


Columns = slice | NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """value = scale * code + low, code in 0..top. `codes` of the fit are those of (x - base) * inverse, rounded."""

    scale: Floats
    low: Floats
    base: Floats
    inverse: Floats
    top: int

    def codes(self, x: Floats) -> Floats:
        return self.codes_of_columns(x, slice(None))

    def codes_of_columns(self, x: Floats, columns: Columns) -> Floats:
        """The codes of some columns of x."""
        codes: Floats = (x[:, columns] - self.base[columns]) * self.inverse[columns]
        return clip(np.rint(codes, out=codes), 0, self.top)


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineSearch:
    """The spans that are tried: (first + step * i + top) codes over that of the block, i = 0..steps. `absolute`: weigh
    the distance itself, not its square."""

    top: int
    first: float
    step: float
    steps: int
    absolute: bool = False

    def inverse(self, index: int, span: Floats) -> Floats:
        codes = np.float32(self.first) + np.float32(self.step) * np.float32(index) + np.float32(self.top)
        return codes / span


def weighed_search(top: int) -> AffineSearch:
    """The longer search that an importance is worth."""
    return AffineSearch(top=top, first=-0.9, step=0.05, steps=36)


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def fit_affine(x: Floats, weights: Floats, search: AffineSearch) -> Affine:
    """The best weighted fit of each column of x [elements, n] with a `low` of at most zero."""
    total, total_x = weights.sum(axis=0), (weights * x).sum(axis=0)
    low, high = np.minimum(x.min(axis=0), np.float32(0)), x.max(axis=0)
    flat = low == high
    inverse: Floats = np.divide(np.float32(search.top), np.where(flat, np.float32(1), high - low))
    scale: Floats = np.float32(1) / inverse
    best_inverse, base = inverse.copy(), low.copy()
    codes, weighted, scratch = aligned(x.shape), aligned(x.shape), aligned(x.shape)
    _round(x, low, inverse, search.top, codes)
    best = _error(x, weights, codes, scale, low, search.absolute, scratch)
    for index in range(search.steps + 1):
        inverse = search.inverse(index, np.where(flat, np.float32(1), high - low))
        _round(x, low, inverse, search.top, codes)
        determinant, new_scale, new_low = _solve(x, weights, codes, total, total_x, (weighted, scratch))
        error = _error(x, weights, codes, new_scale, new_low, search.absolute, scratch)
        better = (determinant > 0) & (error < best)
        for kept, new in ((best_inverse, inverse), (base, low), (best, error), (scale, new_scale), (low, new_low)):
            np.copyto(kept, new, where=better)
    return Affine(scale=np.where(flat, 0, scale), low=low, base=base, inverse=best_inverse, top=search.top)


def _round(x: Floats, low: Floats, inverse: Floats, top: int, codes: Floats) -> None:
    """The code of each value, into `codes`."""
    np.subtract(x, low, out=codes)
    np.multiply(codes, inverse, out=codes)
    clip(np.rint(codes, out=codes), 0, top)


def _solve(
    x: Floats, weights: Floats, codes: Floats, total: Floats, total_x: Floats, space: tuple[Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """Weighted least squares of x on codes: determinant (positive where there is a solution), scale and low."""
    weighted, scratch = space
    np.multiply(weights, codes, out=weighted)
    sum_l = weighted.sum(axis=0)
    sum_l2 = np.multiply(weighted, codes, out=scratch).sum(axis=0)
    sum_xl = np.multiply(weighted, x, out=scratch).sum(axis=0)
    determinant = total * sum_l2 - sum_l * sum_l
    scale = (total * sum_xl - total_x * sum_l) / determinant
    low = (sum_l2 * total_x - sum_l * sum_xl) / determinant
    through_zero = low > 0
    return determinant, np.where(through_zero, sum_xl / sum_l2, scale), np.where(through_zero, np.float32(0), low)


def _error(
    x: Floats, weights: Floats, codes: Floats, scale: Floats, low: Floats, absolute: bool, scratch: Floats
) -> Floats:
    """Weighted error of each column, with `scratch` as working space."""
    np.multiply(codes, scale, out=scratch)
    np.add(scratch, low, out=scratch)
    np.subtract(scratch, x, out=scratch)
    if absolute:
        np.abs(scratch, out=scratch)
    else:
        np.multiply(scratch, scratch, out=scratch)
    total: Floats = np.multiply(scratch, weights, out=scratch).sum(axis=0)
    return total


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def fit_symmetric(x: Floats, weights: Floats, half: int) -> tuple[Floats, Floats]:
    """value = scale * code, code in -half..half-1: (scale, inverse that gives the codes), [n] each."""
    extreme = extremes(x)
    weighted = weights * x
    codes, scratch = np.empty_like(x), np.empty_like(x)

    def sums(inverse: Floats) -> tuple[Floats, Floats]:
        np.multiply(x, inverse, out=codes)
        clip(np.rint(codes, out=codes), -half, half - 1)
        sum_lx = np.multiply(weighted, codes, out=scratch).sum(axis=0)
        np.multiply(weights, codes, out=scratch)
        return sum_lx, np.multiply(scratch, codes, out=scratch).sum(axis=0)

    best_inverse = np.float32(-half) / extreme
    sum_lx, sum_l2 = sums(best_inverse)
    scale = np.where(sum_l2 == 0, np.float32(0), sum_lx / sum_l2)
    best = scale * sum_lx
    for index in (*range(-9, 0), *range(1, 10)):
        inverse = -(np.float32(half) + np.float32(0.1) * np.float32(index)) / extreme
        sum_lx, sum_l2 = sums(inverse)
        better = (sum_l2 > 0) & (sum_lx * sum_lx > best * sum_l2)
        new_scale = sum_lx / sum_l2
        best = np.where(better, new_scale * sum_lx, best)
        scale, best_inverse = np.where(better, new_scale, scale), np.where(better, inverse, best_inverse)
    zero = np.abs(extreme) < TINY
    return np.where(zero, np.float32(0), scale), np.where(zero, np.float32(0), best_inverse)


def symmetric_codes(x: Floats, inverse: Floats, half: int) -> Floats:
    """The codes [elements, n] of a symmetric fit, from 0 up; 0 where there is no scale."""
    codes: Floats = x * inverse
    clip(np.rint(codes, out=codes), -half, half - 1)
    codes += np.float32(half)
    codes[:, inverse == 0] = 0
    return codes


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def fit_largest_weight(x: Floats, weights: Floats, *, top: int) -> Floats:
    """The scale [n], as float16 holds it, of value = scale * code, code in -top - 1..top.

    Tried are the smallest that reaches all values, and _STEPS larger ones that make a whole code of the value with
    the largest weight: with many codes there is little to lose for the others, and often most of the error to gain.
    """
    extreme = np.abs(extremes(x))
    smallest: Floats = np.divide(extreme, np.float32(top))
    best_scale = through_half(smallest)
    largest = weights.argmax(axis=0)
    value = np.abs(x[largest, np.arange(x.shape[1])])
    most = np.floor(value / smallest)
    codes = np.empty_like(x)

    def error_of(scale: Floats) -> Floats:
        np.multiply(x, reciprocals(scale), out=codes)
        np.rint(codes, out=codes)
        np.multiply(codes, scale, out=codes)
        np.subtract(codes, x, out=codes)
        np.multiply(codes, codes, out=codes)
        total: Floats = np.multiply(codes, weights, out=codes).sum(axis=0)
        return total

    best = error_of(best_scale)
    for step in range(_STEPS):
        code = most - np.float32(step)
        near: Floats = np.where(code + code >= np.maximum(most, np.float32(2)), value / code, smallest)
        scale = through_half(near)
        error = error_of(scale)
        # float16 is coarse near its end, and may make the scale too small for some values.
        better = (error < best) & (scale * np.float32(top + 0.5) >= extreme)
        best, best_scale = np.where(better, error, best), np.where(better, scale, best_scale)
    return best_scale


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def fit_symmetric_by_turns(x: Floats, half: int) -> tuple[Floats, Floats]:
    """value = scale * code, code in -half..half-1, found by changing one code after the other.

    The scales [n], and the codes [elements, n] as `symmetric_codes` gives them.
    """
    extreme = extremes(x)
    weights = x * x
    codes = clip(np.rint(x * (np.float32(-half) / extreme)), -half, half - 1)
    sum_lx, sum_l2 = (weights * x * codes).sum(axis=0), (weights * codes * codes).sum(axis=0)
    sum_lx, sum_l2 = _change_by_turns(x, weights, codes, sum_lx, sum_l2, (-half, half - 1))
    zero = np.abs(extreme) < TINY
    codes += np.float32(half)
    codes[:, zero] = 0
    return np.where((sum_l2 > 0) & ~zero, sum_lx / sum_l2, np.float32(0)), codes


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def fit_positive(x: Floats, weights: Floats, top: int) -> tuple[Floats, Floats]:
    """value = scale * code of values that are not negative, code in 0..top: (scale [n], codes [elements, n])."""
    high = x.max(axis=0)
    zero = high < TINY
    inverse = np.float32(top) / high

    def error_of(inverse: Floats, codes: Floats) -> Floats:
        difference = x - np.float32(1) / inverse * codes
        total: Floats = (weights * difference * difference).sum(axis=0)
        return total

    best = error_of(inverse, np.rint(inverse * x))
    for index in (*range(-4, 0), *range(1, 5)):
        tried = (np.float32(0.1) * np.float32(index) + np.float32(top)) / high
        error = error_of(tried, np.minimum(np.rint(tried * x), np.float32(top)))
        better = error < best
        best, inverse = np.where(better, error, best), np.where(better, tried, inverse)
    codes = np.minimum(np.rint(inverse * x), np.float32(top))
    sum_lx, sum_l2 = (weights * x * codes).sum(axis=0), (weights * codes * codes).sum(axis=0)
    sum_lx, sum_l2 = _change_by_turns(x, weights, codes, sum_lx, sum_l2, (0, top))
    usable = (sum_l2 > 0) & ~zero
    return np.where(usable, sum_lx / sum_l2, np.float32(0)), np.where(zero, np.float32(0), codes)


def _change_by_turns(
    x: Floats, weights: Floats, codes: Floats, sum_lx: Floats, sum_l2: Floats, limits: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Give each code in turn, in place, the value that suits the others best where that lowers the error."""
    for _ in range(_ROUNDS):
        changed = False
        for value, weight, code in zip(x, weights, codes, strict=True):
            rest_lx, rest_l2 = sum_lx - weight * value * code, sum_l2 - weight * code * code
            new = clip(np.rint(value * rest_l2 / rest_lx), *limits)
            new_lx, new_l2 = rest_lx + weight * value * new, rest_l2 + weight * new * new
            better = (rest_lx > 0) & (new != code) & (new_l2 > 0)
            better &= new_lx * new_lx * sum_l2 > sum_lx * sum_lx * new_l2
            if better.any():
                changed = True
                code[better] = new[better]
                sum_lx, sum_l2 = np.where(better, new_lx, sum_lx), np.where(better, new_l2, sum_l2)
        if not changed:
            break
    return sum_lx, sum_l2


def clip(x: Floats, least: int, most: int) -> Floats:
    """x within those limits, in place."""
    return np.clip(x, np.float32(least), np.float32(most), out=x)
