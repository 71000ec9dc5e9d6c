"""Causal attention over the pages in place: online softmax, grouped heads share each key and value that is read.

One workgroup is one query token and one kv head. It never gathers the cache, and a sliding window starts at the first
page that the window touches. The cache is passed through as if it were updated: a chain of single uses is what the
compiler needs to see to keep every later write in place.
"""

from collections.abc import Sequence

from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, page_of, place
from sharkpack.templates.kernels.elementwise import exp
from sharkpack.templates.kernels.emitter import F32, I32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

MASKED = -1.0e30
"""A score that is not seen: exp of it is 0 beside any real score, and no infinity minus infinity arises."""


def attention(cache: CacheLayout, heads: int, scale: float, *, window: int | None) -> Kernel:
    """softmax(scale * q . K^T) . V of each query row [rows, heads*key_head_dim] over its sequence's positions
    0..its own (the last `window` of them, if given), [rows, heads*value_head_dim] float32."""
    writer = _Attention(cache, heads, scale, window)
    kd, vd = cache.key_head_dim, cache.value_head_dim
    tag = f"{scale:.6e}".replace(".", "p").replace("-", "m").replace("+", "")
    return Kernel(
        name=f"attention_q{heads}_w{window or 0}_s{tag}_{cache.tag}",
        bindings=(
            Binding(name="q", memref=f"?x{heads * kd}xf32", tensor=f"?x{heads * kd}xf32"),
            *BATCH_INPUTS,
            cache.binding(),
            Binding(name="y", memref=f"?x{heads * vd}xf32", tensor=f"?x{heads * vd}xf32", access="write"),
        ),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=1,
        groups=cache.kv_heads,
        body=writer.write,
    )


class _Attention:
    def __init__(self, cache: CacheLayout, heads: int, scale: float, window: int | None) -> None:
        self.cache, self.scale, self.window = cache, scale, window
        self.group = heads // cache.kv_heads
        # Heads taken at once: their scores of a page (two or more vectors each) must fit the registers.
        self.together = max(t for t in range(1, 9) if self.group % t == 0)
        self.score_vectors = cache.page_size // LANES

    def write(self, e: Emitter) -> None:
        row = "%group_x"
        sequence, position = place(e, row)
        length = as_index(e, e.load_scalar("seq_lens", [sequence]))
        # Padding rows attend as the last real token does: their result is never read, but must stay in bounds.
        position = e.minimum(position, e.op(f"arith.subi {length}, {e.index(1)} : index"))
        past = e.add(position, 1)
        first = "%origin"
        if self.window:
            beyond = e.op(f"arith.maxui {past}, {e.index(self.window)} : index")
            first = e.op(f"arith.subi {beyond}, {e.index(self.window)} : index")
        e.scratch("maximum", f"{self.together}xf32")
        e.scratch("total", f"{self.together}xf32")
        e.scratch("weights", f"{self.together}x{self.cache.page_size}xf32")
        kv_head = "%group_y"
        first_head = e.mul(kv_head, self.group)

        def some_heads(start: str) -> None:
            self._heads(e, row, sequence, kv_head, e.add(first_head, start), first, past)

        e.each("%origin", e.index(self.group), self.together, some_heads)

    def _heads(self, e: Emitter, row: str, sequence: str, kv_head: str, head: str, first: str, past: str) -> None:
        vd, size = self.cache.value_head_dim, self.cache.page_size
        outputs = [e.mul(e.add(head, g), vd) for g in range(self.together)]
        for g in range(self.together):
            e.store_scalar(e.float(MASKED), "maximum", [e.index(g)])
            e.store_scalar(e.float(0.0), "total", [e.index(g)])
            e.each(
                "%origin",
                e.index(vd),
                16,
                lambda d, g=g: e.store(e.floats(0.0), "y", [row, e.add(outputs[g], d)], F32),  # type: ignore[misc]
            )
        first_page = e.op(f"arith.divui {first}, {e.index(size)} : index")
        last_page = e.op(f"arith.ceildivui {past}, {e.index(size)} : index")

        def page(slot: str) -> None:
            begin = e.mul(slot, size)
            found = page_of(e, sequence, begin, size)
            scores = self._scores(e, row, head, self.cache.key_head(e, found, "%layer", kv_head))
            scores = self._mask(e, scores, begin, first, past)
            factors = [self._softmax(e, g, scores[g]) for g in range(self.together)]
            low = e.op(f"arith.subi {e.op(f'arith.maxui {first}, {begin} : index')}, {begin} : index")
            high = e.op(f"arith.subi {e.minimum(past, e.add(begin, size))}, {begin} : index")
            self._accumulate(e, row, outputs, factors, self.cache.value_head(e, found, "%layer", kv_head), low, high)

        e.each(first_page, last_page, 1, page)
        for g in range(self.together):
            inverse = e.op(f"arith.divf {e.float(1.0)}, {e.load_scalar('total', [e.index(g)])} : f32")
            factor = e.splat(inverse)

            def finish(d: str, g: int = g, factor: str = factor) -> None:
                at = [row, e.add(outputs[g], d)]
                e.store(e.float_op("mulf", e.load("y", at, F32), factor), "y", at, F32)

            e.each("%origin", e.index(vd), 16, finish)

    def _scores(self, e: Emitter, row: str, head: str, keys: str) -> list[list[str]]:
        """Scaled scores [head][vector of 16 positions] of one page."""
        kd, size, vectors = self.cache.key_head_dim, self.cache.page_size, self.score_vectors
        queries = [e.mul(e.add(head, g), kd) for g in range(self.together)]

        def body(d: str, carried: list[str]) -> Sequence[str]:
            at = e.add(keys, e.mul(d, size))
            key = [self.cache.load(e, e.add(at, LANES * v)) for v in range(vectors)]
            found = []
            for g in range(self.together):
                q = e.splat(e.load_scalar("q", [row, e.add(queries[g], d)]))
                found += [e.fma(q, key[v], carried[g * vectors + v]) for v in range(vectors)]
            return found

        zeros = [e.floats(0.0)] * (self.together * vectors)
        flat = e.loop("%origin", e.index(kd), 1, zeros, F32, body)
        scaled = [e.float_op("mulf", s, e.floats(self.scale)) for s in flat]
        return [scaled[g * vectors : (g + 1) * vectors] for g in range(self.together)]

    def _mask(self, e: Emitter, scores: list[list[str]], begin: str, first: str, past: str) -> list[list[str]]:
        lanes = e.constant(f"dense<[{', '.join(map(str, range(LANES)))}]>", I32)

        def wide(index: str) -> str:
            return e.splat(e.op(f"arith.index_cast {index} : index to i32"), "i32", I32)

        end, start = wide(past), wide(first)
        for v in range(self.score_vectors):
            position = e.op(f"arith.addi {wide(e.add(begin, LANES * v))}, {lanes} : {I32}")
            seen = e.op(f"arith.cmpi slt, {position}, {end} : {I32}")
            if self.window:
                recent = e.op(f"arith.cmpi sge, {position}, {start} : {I32}")
                seen = e.op(f"arith.andi {seen}, {recent} : vector<16xi1>")
            for head in scores:
                head[v] = e.op(f"arith.select {seen}, {head[v]}, {e.floats(MASKED)} : vector<16xi1>, {F32}")
        return scores

    def _softmax(self, e: Emitter, g: int, scores: list[str]) -> str:
        """Store exp(score - new maximum) in `weights`, update maximum and total, return the old sums' factor."""
        at = [e.index(g)]
        top = scores[0]
        for score in scores[1:]:
            top = e.float_op("maximumf", top, score)
        old = e.load_scalar("maximum", at)
        new = e.op(f"arith.maximumf {old}, {e.reduce('maximumf', top)} : f32")
        e.store_scalar(new, "maximum", at)
        spread = e.splat(new)
        total = e.floats(0.0)
        for v, score in enumerate(scores):
            weight = exp(e, e.float_op("subf", score, spread))
            e.store(weight, "weights", [e.index(g), e.index(LANES * v)], F32)
            total = e.float_op("addf", total, weight)
        factor = exp(e, e.splat(e.op(f"arith.subf {old}, {new} : f32")))
        scalar = e.op(f"vector.extract {factor}[0] : f32 from {F32}")
        kept = e.op(f"arith.mulf {e.load_scalar('total', at)}, {scalar} : f32")
        e.store_scalar(e.op(f"arith.addf {kept}, {e.reduce('add', total)} : f32"), "total", at)
        return factor

    def _accumulate(
        self, e: Emitter, row: str, outputs: list[str], factors: list[str], values: str, low: str, high: str
    ) -> None:
        """y = y * factor + weights . V, 16 columns at a time, all heads sharing each value that is read.

        Only positions low..high of the page are read: memory that was never written may hold NaN, and 0 * NaN is NaN.
        """
        vd = self.cache.value_head_dim

        def columns(d: str) -> None:
            places = [[row, e.add(output, d)] for output in outputs]
            sums = [
                e.float_op("mulf", e.load("y", at, F32), factor) for at, factor in zip(places, factors, strict=True)
            ]

            def position(p: str, carried: list[str]) -> Sequence[str]:
                value = self.cache.load(e, e.add(e.add(values, d), e.mul(p, vd)))
                return [
                    e.fma(e.splat(e.load_scalar("weights", [e.index(g), p])), value, carried[g])
                    for g in range(self.together)
                ]

            sums = e.loop(low, high, 1, sums, F32, position)
            for at, value in zip(places, sums, strict=True):
                e.store(value, "y", at, F32)

        e.each("%origin", e.index(vd), LANES, columns)
