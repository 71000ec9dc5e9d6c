"""One step of an online softmax over some pages of the cache: their scores, what becomes of the maximum, their values.

Between steps a row is kept in scratch: its maximum, its 16 partial totals and the sums of its values.
"""

from collections.abc import Callable, Sequence

from sharkpack.templates.kernels.attention_pages import Pages
from sharkpack.templates.kernels.attention_rows import AttentionRow, Token
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.elementwise import exp, softcap
from sharkpack.templates.kernels.emitter import F32, I32, LANES, Emitter

MASKED = -1.0e30
"""A score that is not seen: exp of it is 0 beside any real score, and no infinity minus infinity arises."""

POSITIONS = 128
"""Of a step: enough that what is done once a step costs little, few enough that all rows' weights stay in the cache."""


ACCUMULATORS = {64: 24, 32: 6, 16: 4}
"""Vectors of 16 floats that a loop may carry, by the bytes of a register: there are 32, 16 or (in SSE) 16 of those."""


class Span:
    """queries: the buffer of rotated queries. prefetch: prefetch each page while the one before it is read. The kv head
    is `%kv_head`, an index value, and the layer `%layer`."""

    def __init__(
        self, cache: CacheLayout, scale: float, cap: float, *, windowed: bool, queries: str, prefetch: bool
    ) -> None:
        self.cache, self.scale, self.cap, self.windowed = cache, scale, cap, windowed
        self.queries, self.cached = queries, Pages(cache, prefetches=prefetch)
        self.vectors = cache.page_size // LANES
        self.pages = max(1, POSITIONS // cache.page_size)

    def scratch(self, e: Emitter, rows: int) -> None:
        e.scratch("maximum", f"{rows}xf32")
        e.scratch("totals", f"{rows}x{LANES}xf32")
        e.scratch("weights", f"{rows}x{self.pages * self.cache.page_size}xf32")
        e.scratch("sums", f"{rows}x{self.cache.value_head_dim}xf32")

    def _start(self, e: Emitter, rows: int) -> None:
        def row(n: str) -> None:
            e.store_scalar(e.float(MASKED), "maximum", [n])
            e.store(e.floats(0.0), "totals", [n, "%origin"], F32)
            self._each_sum(e, n, lambda _: e.floats(0.0))

        e.each("%origin", e.index(rows), 1, row)

    def finish(self, e: Emitter, row: AttentionRow, write: Callable[[str, str], None]) -> None:
        """Have `write(value, column)` take each 16 of a row's sums over its total, from column `row.y` on."""
        total = e.reduce("add", e.load("totals", [e.index(row.number), "%origin"], F32))
        inverse = e.splat(e.op(f"arith.divf {e.float(1.0)}, {total} : f32"))

        def columns(d: str) -> None:
            write(e.float_op("mulf", e.load("sums", [e.index(row.number), d], F32), inverse), e.add(row.y, d))

        e.each("%origin", e.index(self.cache.value_head_dim), LANES, columns)

    def attend_pages(self, e: Emitter, rows: list[AttentionRow], sequence: str, first: str, last: str) -> None:
        """Take pages first..last-1 of a sequence's table into account, and nothing else."""
        self._start(e, len(rows))

        def pages(slot: str) -> None:
            self._attend(e, rows, sequence, slot, e.minimum(e.add(slot, self.pages), last))

        e.each(first, last, self.pages, pages)

    def _attend(self, e: Emitter, rows: list[AttentionRow], sequence: str, slot: str, end: str) -> None:
        """Take the pages slot..end-1 of a sequence's table into account."""
        e.each(slot, end, 1, lambda page: self._scores(e, rows, sequence, slot, page))
        count = e.mul(e.op(f"arith.subi {end}, {slot} : index"), self.cache.page_size)
        e.each("%origin", e.index(len(rows)), 1, lambda row: self._softmax(e, row, count))
        if self.cache.has_scales:
            e.each(slot, end, 1, lambda page: self._scale_weights(e, rows, sequence, slot, page))
        self._accumulate(e, rows, sequence, slot, end)

    def _scores(self, e: Emitter, rows: list[AttentionRow], sequence: str, slot: str, page: str) -> None:
        """Store the scaled, masked scores of one page in `weights`."""
        size, vectors = self.cache.page_size, self.vectors
        begin = e.mul(page, size)
        keys = self.cached.keys(e, self.cached.at(e, sequence, begin))
        following = self.cached.keys(e, self.cached.after(e, sequence, begin, rows[-1].token.past))
        each = max(1, ACCUMULATORS[e.isa.register_bytes] // vectors)
        parts = [rows[first : first + each] for first in range(0, len(rows), each)]
        scores = [score for part in parts for score in self._products(e, part, keys, following)]
        at = e.mul(e.op(f"arith.subi {page}, {slot} : index"), size)
        for row in rows:
            for v in range(vectors):
                score = e.float_op("mulf", scores[row.number * vectors + v], e.floats(self.scale))
                score = softcap(e, score, self.cap) if self.cap else score
                score = self._masked(e, row.token, score, e.add(begin, LANES * v))
                e.store(score, "weights", [e.index(row.number), e.add(at, LANES * v)], F32)

    def _products(self, e: Emitter, rows: Sequence[AttentionRow], keys: str, following: str) -> list[str]:
        """q . k of some rows with a page's keys: `vectors` vectors of each row in turn."""
        size, vectors = self.cache.page_size, self.vectors

        def dimension(d: str, carried: list[str]) -> Sequence[str]:
            offset = e.mul(d, size)
            key = [self.cache.load(e, e.add(e.add(keys, offset), LANES * v)) for v in range(vectors)]
            self.cached.prefetch(e, e.add(following, offset), size)
            found = []
            for n, row in enumerate(rows):
                at, column = row.query
                q = e.splat(e.load_scalar(self.queries, [at, e.add(column, d)]))
                found += [e.fma(q, key[v], carried[n * vectors + v]) for v in range(vectors)]
            return found

        zeros = [e.floats(0.0)] * (len(rows) * vectors)
        if not self.cache.has_scales:
            return e.loop("%origin", e.index(self.cache.key_head_dim), 1, zeros, F32, dimension)

        def block(number: str, carried: list[str]) -> Sequence[str]:
            low = e.mul(number, self.cache.key_block)
            sums = e.loop(low, e.add(low, self.cache.key_block), 1, zeros, F32, dimension)
            offset = e.mul(number, 4 * size)
            scales = e.add(self.cache.key_scales(e, keys), offset)
            scale = [self.cache.load_scales(e, e.add(scales, 4 * LANES * v)) for v in range(vectors)]
            self.cached.prefetch(e, e.add(self.cache.key_scales(e, following), offset), 4 * size)
            return [e.fma(sums[i], scale[i % vectors], carried[i]) for i in range(len(carried))]

        blocks = self.cache.key_head_dim // self.cache.key_block
        return e.loop("%origin", e.index(blocks), 1, zeros, F32, block)

    def _masked(self, e: Emitter, token: Token, score: str, begin: str) -> str:
        def wide(index: str) -> str:
            return e.splat(e.op(f"arith.index_cast {index} : index to i32"), "i32", I32)

        lanes = e.constant(f"dense<[{', '.join(map(str, range(LANES)))}]>", I32)
        position = e.op(f"arith.addi {wide(begin)}, {lanes} : {I32}")
        seen = e.op(f"arith.cmpi slt, {position}, {wide(token.past)} : {I32}")
        if self.windowed:
            recent = e.op(f"arith.cmpi sge, {position}, {wide(token.first)} : {I32}")
            seen = e.op(f"arith.andi {seen}, {recent} : vector<16xi1>")
        return e.op(f"arith.select {seen}, {score}, {e.floats(MASKED)} : vector<16xi1>, {F32}")

    def _softmax(self, e: Emitter, row: str, count: str) -> None:
        """Make a row's first `count` scores its weights exp(score - new maximum), and scale what it kept to that.

        Pages that show a row nothing (the tile's other tokens see them) meet a maximum that is still MASKED only
        before the row's first page, and what they add there is multiplied by exp(MASKED - real), 1e-38, when it comes.
        """

        def compare(p: str, carried: list[str]) -> Sequence[str]:
            return [e.larger(carried[0], e.load("weights", [row, p], F32))]

        old = e.load_scalar("maximum", [row])
        (top,) = e.loop("%origin", count, LANES, [e.splat(old)], F32, compare)
        spread = e.splat(e.largest(top))
        factor = exp(e, e.float_op("subf", e.splat(old), spread))
        e.store_scalar(e.op(f"vector.extract {spread}[0] : f32 from {F32}"), "maximum", [row])

        def weigh(p: str, carried: list[str]) -> Sequence[str]:
            weight = exp(e, e.float_op("subf", e.load("weights", [row, p], F32), spread))
            e.store(weight, "weights", [row, p], F32)
            return [e.float_op("addf", carried[0], weight)]

        kept = e.float_op("mulf", e.load("totals", [row, "%origin"], F32), factor)
        (total,) = e.loop("%origin", count, LANES, [kept], F32, weigh)
        e.store(total, "totals", [row, "%origin"], F32)
        self._each_sum(e, row, lambda at: e.float_op("mulf", e.load("sums", [row, at], F32), factor))

    def _scale_weights(self, e: Emitter, rows: list[AttentionRow], sequence: str, slot: str, page: str) -> None:
        """Multiply the weights of one page's positions by the scales of their values: once, not for each column.

        A position that was never written may have a NaN for a scale, but its weight is not read either.
        """
        begin = e.mul(page, self.cache.page_size)
        scales = self.cache.value_scales(e, self.cached.values(e, self.cached.at(e, sequence, begin)))
        following = self.cached.values(e, self.cached.after(e, sequence, begin, rows[-1].token.past))
        self.cached.prefetch(e, self.cache.value_scales(e, following), 4 * self.cache.page_size)
        at = e.mul(e.op(f"arith.subi {page}, {slot} : index"), self.cache.page_size)
        for v in range(self.vectors):
            scale = self.cache.load_scales(e, e.add(scales, 4 * LANES * v))
            for row in rows:
                place = [e.index(row.number), e.add(at, LANES * v)]
                e.store(e.float_op("mulf", e.load("weights", place, F32), scale), "weights", place, F32)

    def _accumulate(self, e: Emitter, rows: list[AttentionRow], sequence: str, slot: str, end: str) -> None:
        """sums += weights . V, several columns of 16 at a time, all rows sharing each value that is read.

        Only positions that a row sees are read: memory that was never written may hold NaN, and 0 * NaN is NaN.
        """
        vd, size = self.cache.value_head_dim, self.cache.page_size
        most = max(1, ACCUMULATORS[e.isa.register_bytes] // len(rows))
        wide = max(c for c in range(1, most + 1) if (vd // LANES) % c == 0)

        def columns(d: str) -> None:
            def page_sums(page: str, carried: list[str]) -> Sequence[str]:
                begin = e.mul(page, size)
                start = self.cached.values(e, self.cached.at(e, sequence, begin))
                following = self.cached.values(e, self.cached.after(e, sequence, begin, rows[-1].token.past))
                following, start = e.add(following, d), e.add(start, d)
                at = e.mul(e.op(f"arith.subi {page}, {slot} : index"), size)

                def position(p: str, carried: list[str]) -> Sequence[str]:
                    offset, weight_at = e.mul(p, vd), e.add(at, p)
                    value = [self.cache.load(e, e.add(e.add(start, offset), LANES * c)) for c in range(wide)]
                    self.cached.prefetch(e, e.add(following, offset), LANES * wide)
                    found = []
                    for row in rows:
                        weight = e.splat(e.load_scalar("weights", [e.index(row.number), weight_at]))
                        found += [e.fma(weight, value[c], carried[row.number * wide + c]) for c in range(wide)]
                    return found

                return e.loop(*self._seen(e, rows, begin), 1, carried, F32, position)

            places = [[e.index(row.number), e.add(d, LANES * c)] for row in rows for c in range(wide)]
            sums = e.loop(slot, end, 1, [e.load("sums", at, F32) for at in places], F32, page_sums)
            for at, total in zip(places, sums, strict=True):
                e.store(total, "sums", at, F32)

        e.each("%origin", e.index(vd), LANES * wide, columns)

    def _seen(self, e: Emitter, rows: list[AttentionRow], begin: str) -> tuple[str, str]:
        """The positions low..high-1 of the page at `begin` that any row sees; positions ascend with rows."""
        first, past = rows[0].token.first, rows[-1].token.past
        low = e.op(f"arith.subi {e.op(f'arith.maxui {first}, {begin} : index')}, {begin} : index")
        high = e.op(f"arith.subi {e.minimum(past, e.add(begin, self.cache.page_size))}, {begin} : index")
        return low, high

    def _each_sum(self, e: Emitter, row: str, value: Callable[[str], str]) -> None:
        """Set every 16 sums of a row to `value(column)`."""

        def columns(d: str) -> None:
            e.store(value(d), "sums", [row, d], F32)

        e.each("%origin", e.index(self.cache.value_head_dim), LANES, columns)
