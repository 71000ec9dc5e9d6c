"""The operator `attend`: norms of heads, rope, the paged cache, and attention over it."""

from dataclasses import dataclass

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.lowering.generic.paged import CallRows, load, planes, store
from sharkpack.templates.lowering.generic.scalars import Scalar
from sharkpack.templates.lowering.generic.tensors import Tensor, Writer

UNSEEN = -1e30
"""A score whose weight is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """One layer's attention. window: positions that a row sees (0: all before it). softcap: 0 caps no scores."""

    layout: CacheLayout
    layer: Scalar
    heads: int
    scale: float
    window: int
    softcap: float


def attend(
    w: Writer, how: Attention, q: Tensor, k: Tensor, v: Tensor, angles: Tensor, rows: CallRows, cache: Tensor
) -> tuple[Tensor, Tensor]:
    """Stores k and v and attends with q, all [rows, heads * dim]; returns (cache, y [rows, heads * value_head_dim])."""
    layout = how.layout
    of_keys, of_values = planes(layout, how.layer)
    cache = store(w, cache, of_keys, rows, rotate(w, k, angles, layout.kv_heads, layout.key_head_dim))
    cache = store(w, cache, of_values, rows, split(w, v, layout.kv_heads, layout.value_head_dim))
    cache, keys = load(w, cache, of_keys, rows)
    cache, values = load(w, cache, of_values, rows)
    return cache, _attention(w, how, rotate(w, q, angles, how.heads, layout.key_head_dim), keys, values, rows)


def split(w: Writer, x: Tensor, heads: int, dim: int) -> Tensor:
    """Returns x [rows, heads * dim] as [rows, heads, dim]."""
    return w.map((x.sizes[0], heads, dim), lambda row, head, d: x[row, head * dim + d])


def rotate(w: Writer, x: Tensor, angles: Tensor, heads: int, dim: int) -> Tensor:
    """Rotates the first dimensions of x [rows, heads * dim] by `angles` (cosines, then sines): [rows, heads, dim]."""
    turned, half = angles.width, angles.width // 2

    def element(row: Scalar, head: Scalar, d: Scalar) -> Scalar:
        own, at = x[row, head * dim + d], d % half
        first, rotates = d.is_("ult", half), d.is_("ult", turned)
        partner = rotates.choose(first.choose(at + half, at), d)
        sine = angles[row, at + half]
        value = own * angles[row, at] + x[row, head * dim + partner] * first.choose(-sine, sine)
        return rotates.choose(value, own)

    return w.map((x.sizes[0], heads, dim), element)


def _attention(w: Writer, how: Attention, q: Tensor, keys: Tensor, values: Tensor, rows: CallRows) -> Tensor:
    """Attends with q [rows, heads, dim] to keys and values [sequences, kv heads, positions, dim]."""
    shape, group = (q.sizes[0], how.heads, keys.sizes[2]), how.heads // how.layout.kv_heads

    def term(row: Scalar, head: Scalar, at: Scalar, d: Scalar) -> Scalar:
        return q[row, head, d] * keys[rows.sequence(row), head // group, at, d]

    dots = w.sum(shape, q.width, term)

    def score(row: Scalar, head: Scalar, at: Scalar) -> Scalar:
        value = dots[row, head, at] * how.scale
        if how.softcap:
            value = (value / how.softcap).math("tanh") * how.softcap
        return rows.sees(row, at, how.window).choose(value, UNSEEN)

    scores = w.map(shape, score)
    return _mixed(w, scores, values, rows, group)


def _mixed(w: Writer, scores: Tensor, values: Tensor, rows: CallRows, group: int) -> Tensor:
    """Returns the mean of values, weighted by the softmax of scores [rows, heads, positions]: [rows, heads * dim]."""
    count, heads, positions = scores.sizes
    dim = values.width
    top = w.largest((count, heads), positions, lambda row, head, at: scores[row, head, at])
    weights = w.map(scores.sizes, lambda row, head, at: (scores[row, head, at] - top[row, head]).math("exp"))
    total = w.sum((count, heads), positions, lambda row, head, at: weights[row, head, at])

    def weighed(row: Scalar, head: Scalar, d: Scalar, at: Scalar) -> Scalar:
        return weights[row, head, at] * values[rows.sequence(row), head // group, at, d]

    sums = w.sum((count, heads, dim), positions, weighed)
    sizes = (count, heads * dim)
    return w.map(sizes, lambda row, at: sums[row, at // dim, at % dim] / total[row, at // dim])
