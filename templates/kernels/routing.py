"""Routing of rows to experts: softmax over the logits, and its top-k, one after the other."""

from sharkpack.templates.kernels.elementwise import exp
from sharkpack.templates.kernels.emitter import F32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.rows import ROWS_EACH

TAKEN = -1.0e30
"""A logit that is not to be chosen (again): its exp is 0 beside any other."""


def route(experts: int, top_k: int, *, normalise: bool) -> Kernel:
    """logits [rows, experts] f32 -> the top-k experts of each row, i64, and their weights, f32.

    Of equal logits the first is taken. `normalise` makes a row's weights sum to 1.
    """
    writer = _Route(experts, top_k, normalise)
    return Kernel(
        name=f"route_{top_k}_of_{experts}" + ("_normalised" if normalise else ""),
        bindings=(
            Binding.of("logits", f"?x{experts}xf32"),
            Binding.of("chosen", f"?x{top_k}xi64", access="write"),
            Binding.of("weights", f"?x{top_k}xf32", access="write"),
        ),
        dimensions={"rows": ("logits", 0)},
        row_tile=ROWS_EACH,
        body=writer.write,
    )


class _Route:
    def __init__(self, experts: int, top_k: int, normalise: bool) -> None:
        self.experts, self.top_k, self.normalise = experts, top_k, normalise
        self.padded = -(-experts // LANES) * LANES

    def write(self, e: Emitter) -> None:
        e.scratch("left", f"{self.padded}xf32")
        first = e.mul("%group_x", ROWS_EACH)
        last = e.minimum(e.add(first, ROWS_EACH), "%rows")
        e.each(first, last, 1, lambda row: self._row(e, row))

    def _row(self, e: Emitter, row: str) -> None:
        e.each("%origin", e.index(self.padded), LANES, lambda i: e.store(e.floats(TAKEN), "left", [i], F32))
        count = e.index(self.experts)
        e.each("%origin", count, 1, lambda i: e.store_scalar(e.load_scalar("logits", [row, i]), "left", [i]))
        largest = e.splat(self._largest(e))

        def likelihoods(i: str, carried: list[str]) -> list[str]:
            return [e.float_op("addf", carried[0], exp(e, e.float_op("subf", e.load("left", [i], F32), largest)))]

        (total,) = e.loop("%origin", e.index(self.padded), LANES, [e.floats(0.0)], F32, likelihoods)
        self._choose(e, row, largest, e.splat(e.reduce("add", total)))

    def _choose(self, e: Emitter, row: str, largest: str, total: str) -> None:
        def choice(j: str, carried: list[str]) -> list[str]:
            best = self._largest(e)
            expert = self._first_of(e, best)
            e.store_scalar(e.float(TAKEN), "left", [expert])
            e.store_scalar(e.op(f"arith.index_cast {expert} : index to i64"), "chosen", [row, j])
            likely = e.float_op("divf", exp(e, e.float_op("subf", e.splat(best), largest)), total)
            weight = e.op(f"vector.extract {likely}[0] : f32 from {F32}")
            e.store_scalar(weight, "weights", [row, j])
            return [e.op(f"arith.addf {carried[0]}, {weight} : f32")]

        (taken,) = e.loop("%origin", e.index(self.top_k), 1, [e.float(0.0)], "f32", choice)
        if self.normalise:

            def share(j: str) -> None:
                weight = e.load_scalar("weights", [row, j])
                e.store_scalar(e.op(f"arith.divf {weight}, {taken} : f32"), "weights", [row, j])

            e.each("%origin", e.index(self.top_k), 1, share)

    def _largest(self, e: Emitter) -> str:
        def body(i: str, carried: list[str]) -> list[str]:
            return [e.float_op("maximumf", carried[0], e.load("left", [i], F32))]

        (top,) = e.loop("%origin", e.index(self.padded), LANES, [e.floats(TAKEN)], F32, body)
        return e.reduce("maximumf", top)

    def _first_of(self, e: Emitter, value: str) -> str:
        """The first expert with that logit; the last one if none has it (NaN): no row may read past the weights."""
        end = e.index(self.experts - 1)

        def body(i: str, carried: list[str]) -> list[str]:
            same = e.op(f"arith.cmpf oeq, {e.load_scalar('left', [i])}, {value} : f32")
            return [e.minimum(carried[0], e.op(f"arith.select {same}, {i}, {end} : index"))]

        (found,) = e.loop("%origin", e.index(self.experts), 1, [end], "index", body)
        return found
