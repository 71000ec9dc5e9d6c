"""Operators of a mixture of experts: choose some for each row, multiply it by the weights of those alone."""

from dataclasses import replace

from sharkpack.templates.lowering.generic.scalars import Scalar
from sharkpack.templates.lowering.generic.tensors import Tensor, Writer
from sharkpack.templates.lowering.generic.weights import PackedWeight


def route(w: Writer, logits: Tensor, top_k: int, *, normalise: bool) -> tuple[Tensor, Tensor]:
    """Returns the top-k of each row of logits [rows, experts]: (experts [rows, top_k] i64, weights [rows, top_k])."""
    rows, experts = logits.sizes[0], logits.width
    top = w.largest((rows,), experts, lambda row, e: logits[row, e])
    shares = w.map(logits.sizes, lambda row, e: (logits[row, e] - top[row]).math("exp"))

    def before(row: Scalar, e: Scalar, other: Scalar) -> Scalar:
        """Returns 1 where the other expert comes before `e`: its logit is larger, or equal and its number smaller."""
        own, others = logits[row, e], logits[row, other]
        tie = others.is_("oeq", own) & other.is_("ult", e)
        return (others.is_("ogt", own) | tie).cast("arith.extui", "i32")

    rank = w.sum(logits.sizes, experts, before, "i32")

    def number(row: Scalar, place: Scalar, e: Scalar) -> Scalar:
        return rank[row, e].is_("eq", place.word).choose(e.cast("arith.index_cast", "i64"), 0)

    def share(row: Scalar, place: Scalar, e: Scalar) -> Scalar:
        return rank[row, e].is_("eq", place.word).choose(shares[row, e], 0)

    chosen = w.sum((rows, top_k), experts, number, "i64")
    weights = w.sum((rows, top_k), experts, share)
    count = top_k if normalise else experts
    summed = weights if normalise else shares
    total = w.sum((rows,), count, lambda row, e: summed[row, e])
    return chosen, w.map((rows, top_k), lambda row, place: weights[row, place] / total[row])


def expert_matmul(w: Writer, x: Tensor, chosen: Tensor, weight: PackedWeight, experts: int) -> Tensor:
    """Multiplies each row of x [rows, k] or [rows, top_k * k] by its chosen experts' [n, k]: [rows, top_k * n].

    weight: of one expert; those of all `experts` follow each other.
    """
    n, k, each = weight.n, weight.k, x.width != weight.k

    def term(row: Scalar, at: Scalar, column: Scalar) -> Scalar:
        choice = at // n
        # Logits that are no numbers choose no expert: the last one then, instead of what is not there.
        expert = chosen[row, choice].index.minimum(experts - 1)
        own = replace(weight, start=expert * weight.nbytes)
        return x[row, choice * k + column if each else column] * own[at % n, column]

    return w.sum((chosen.sizes[0], chosen.width * n), k, term)
