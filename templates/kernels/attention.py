"""Causal attention over the pages in place: online softmax, a tile of queries shares each key and value that is read.

One workgroup is one kv head and `query_tile` tokens of one sequence; its rows are those tokens times the heads that
share the kv head. It never gathers the cache, and a sliding window starts at the first page that the window touches.
The cache is passed through as if it were updated: a chain of single uses is what the compiler needs to see to keep
every later write in place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, page_of, place
from sharkpack.templates.kernels.elementwise import exp, softcap
from sharkpack.templates.kernels.emitter import F32, I32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

MASKED = -1.0e30
"""A score that is not seen: exp of it is 0 beside any real score, and no infinity minus infinity arises."""

REGISTERS = 16
"""Accumulators that a loop may carry: half of the vector registers of the widest instruction sets."""


def attention(
    cache: CacheLayout, heads: int, scale: float, *, window: int | None, prefill: bool, cap: float = 0.0
) -> Kernel:
    """softmax(scale * q . K^T) . V of each query row [rows, heads*key_head_dim] over its sequence's positions
    0..its own (the last `window` of them, if given), [rows, heads*value_head_dim] float32.

    prefill: tile several tokens of a sequence; without, each row is a workgroup of its own. cap: other than 0,
    scaled scores become cap * tanh(score / cap).
    """
    writer = _Attention(cache, heads, scale, window, prefill, cap)
    kd, vd = cache.key_head_dim, cache.value_head_dim
    tag = f"{scale:.6e}".replace(".", "p").replace("-", "m").replace("+", "")
    tag += f"_c{cap:.6e}".replace(".", "p").replace("-", "m").replace("+", "") if cap else ""
    return Kernel(
        name=f"attention_q{heads}_w{window or 0}_s{tag}_t{writer.query_tile}_{cache.tag}",
        bindings=(
            Binding(name="q", memref=f"?x{heads * kd}xf32", tensor=f"?x{heads * kd}xf32"),
            *BATCH_INPUTS,
            cache.binding(),
            Binding(name="y", memref=f"?x{heads * vd}xf32", tensor=f"?x{heads * vd}xf32", access="write"),
        ),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=writer.query_tile,
        groups=cache.kv_heads,
        body=writer.write,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    """One query token: its row in q and y, and the positions first..past-1 that it sees."""

    row: str
    first: str
    past: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One token and head: its number in the tile, and where its head begins in a row of q and of y."""

    number: int
    token: _Token
    q: str
    y: str


class _Attention:
    def __init__(
        self, cache: CacheLayout, heads: int, scale: float, window: int | None, prefill: bool, cap: float
    ) -> None:
        self.cache, self.scale, self.window, self.prefill, self.cap = cache, scale, window, prefill, cap
        self.group = heads // cache.kv_heads
        self.score_vectors = cache.page_size // LANES
        most = max(1, REGISTERS // self.score_vectors)
        self.together = max(t for t in range(1, most + 1) if self.group % t == 0)
        self.query_tile = max(1, most // self.group) if prefill else 1

    def write(self, e: Emitter) -> None:
        rows = self.together * self.query_tile
        e.scratch("maximum", f"{rows}xf32")
        e.scratch("total", f"{rows}xf32")
        e.scratch("weights", f"{rows}x{self.cache.page_size}xf32")
        start = e.mul("%group_x", self.query_tile)
        if self.query_tile == 1:
            self._tokens(e, [start])
            return
        end = e.minimum(e.add(start, self.query_tile), "%rows")
        each = e.op("arith.divui %rows, %sequences : index")
        last = e.op(f"arith.subi {end}, {e.index(1)} : index")
        same = [e.op(f"arith.divui {row}, {each} : index") for row in (start, last)]
        whole = e.op(f"arith.cmpi eq, {e.op(f'arith.subi {end}, {start} : index')}, {e.index(self.query_tile)} : index")
        whole = e.op(f"arith.andi {whole}, {e.op(f'arith.cmpi eq, {same[0]}, {same[1]} : index')} : i1")
        e.branch(
            whole,
            lambda: self._tokens(e, [e.add(start, t) for t in range(self.query_tile)]),
            lambda: e.each(start, end, 1, lambda row: self._tokens(e, [row])),
        )

    def _tokens(self, e: Emitter, rows: list[str]) -> None:
        """Attention of some consecutive tokens of one sequence, for all heads that share the kv head."""
        sequence, _ = place(e, rows[0])
        length = as_index(e, e.load_scalar("seq_lens", [sequence]))
        tokens = [self._token(e, row, length) for row in rows]
        first_head = e.mul("%group_y", self.group)

        def some_heads(offset: str) -> None:
            self._heads(e, tokens, sequence, e.add(first_head, offset))

        e.each("%origin", e.index(self.group), self.together, some_heads)

    def _token(self, e: Emitter, row: str, length: str) -> _Token:
        _, position = place(e, row)
        # Padding rows attend as the last real token does: their result is never read, but must stay in bounds.
        past = e.minimum(e.add(position, 1), length)
        first = "%origin"
        if self.window:
            beyond = e.op(f"arith.maxui {past}, {e.index(self.window)} : index")
            first = e.op(f"arith.subi {beyond}, {e.index(self.window)} : index")
        return _Token(row=row, first=first, past=past)

    def _heads(self, e: Emitter, tokens: list[_Token], sequence: str, head: str) -> None:
        kd, vd, size = self.cache.key_head_dim, self.cache.value_head_dim, self.cache.page_size
        rows: list[_Row] = []
        for token in tokens:
            for g in range(self.together):
                at = e.add(head, g)
                rows.append(_Row(number=len(rows), token=token, q=e.mul(at, kd), y=e.mul(at, vd)))
        for row in rows:
            e.store_scalar(e.float(MASKED), "maximum", [e.index(row.number)])
            e.store_scalar(e.float(0.0), "total", [e.index(row.number)])
            self._each_column(e, row, lambda _: e.floats(0.0))
        first, past = tokens[0].first, tokens[-1].past  # positions ascend
        first_page = e.op(f"arith.divui {first}, {e.index(size)} : index")
        last_page = e.op(f"arith.ceildivui {past}, {e.index(size)} : index")

        def page(slot: str) -> None:
            begin = e.mul(slot, size)
            found = page_of(e, sequence, begin, size)
            keys, values = (at(e, found, "%layer", "%group_y") for at in (self.cache.key_head, self.cache.value_head))
            if not self.prefill:
                self._prefetch(e, values, self.cache.value_head_dim)
            scores = self._scores(e, rows, keys)
            scores = self._mask(e, rows, scores, begin)
            factors = [self._softmax(e, row, scores[row.number]) for row in rows]
            low = e.op(f"arith.subi {e.op(f'arith.maxui {first}, {begin} : index')}, {begin} : index")
            high = e.op(f"arith.subi {e.minimum(past, e.add(begin, size))}, {begin} : index")
            if not self.prefill:
                last = e.op(f"arith.subi {past}, {e.index(1)} : index")
                following = page_of(e, sequence, e.minimum(e.add(begin, size), last), size)
                self._prefetch(e, self.cache.key_head(e, following, "%layer", "%group_y"), self.cache.key_head_dim)
            self._accumulate(e, rows, factors, values, low, high)

        e.each(first_page, last_page, 1, page)
        for row in rows:
            inverse = e.op(f"arith.divf {e.float(1.0)}, {e.load_scalar('total', [e.index(row.number)])} : f32")
            factor = e.splat(inverse)
            self._each_column(e, row, lambda old, factor=factor: e.float_op("mulf", old(), factor))  # type: ignore[misc]

    def _prefetch(self, e: Emitter, start: str, head_dim: int) -> None:
        """Ask for the keys or values of one head in a page, before they are needed.

        Pages lie anywhere, and each is too short for the hardware to see a stream. In prefill, neighbouring tokens have
        read them just before.
        """
        line = 64 // {"f16": 2, "f32": 4}[self.cache.dtype]

        def one(offset: str) -> None:
            e.do(f"memref.prefetch %cache[{e.add(start, offset)}], read, locality<2>, data : {e.memref('cache')}")

        e.each("%origin", e.index(self.cache.page_size * head_dim), line, one)

    def _each_column(self, e: Emitter, row: _Row, value: Callable[[Callable[[], str]], str]) -> None:
        """Set every 16 columns of a row of y to `value(read)`, where `read()` loads what is there."""

        def columns(d: str) -> None:
            at = [row.token.row, e.add(row.y, d)]
            e.store(value(lambda: e.load("y", at, F32)), "y", at, F32)

        e.each("%origin", e.index(self.cache.value_head_dim), LANES, columns)

    def _scores(self, e: Emitter, rows: list[_Row], keys: str) -> list[list[str]]:
        """Scaled scores [row][vector of 16 positions] of one page."""
        size, vectors = self.cache.page_size, self.score_vectors

        def body(d: str, carried: list[str]) -> Sequence[str]:
            at = e.add(keys, e.mul(d, size))
            key = [self.cache.load(e, e.add(at, LANES * v)) for v in range(vectors)]
            found = []
            for row in rows:
                q = e.splat(e.load_scalar("q", [row.token.row, e.add(row.q, d)]))
                found += [e.fma(q, key[v], carried[row.number * vectors + v]) for v in range(vectors)]
            return found

        zeros = [e.floats(0.0)] * (len(rows) * vectors)
        flat = e.loop("%origin", e.index(self.cache.key_head_dim), 1, zeros, F32, body)
        scaled = [e.float_op("mulf", s, e.floats(self.scale)) for s in flat]
        if self.cap:
            scaled = [softcap(e, s, self.cap) for s in scaled]
        return [scaled[row.number * vectors : (row.number + 1) * vectors] for row in rows]

    def _mask(self, e: Emitter, rows: list[_Row], scores: list[list[str]], begin: str) -> list[list[str]]:
        lanes = e.constant(f"dense<[{', '.join(map(str, range(LANES)))}]>", I32)

        def wide(index: str) -> str:
            return e.splat(e.op(f"arith.index_cast {index} : index to i32"), "i32", I32)

        positions = [
            e.op(f"arith.addi {wide(e.add(begin, LANES * v))}, {lanes} : {I32}") for v in range(self.score_vectors)
        ]
        masked: list[list[str]] = []
        for row in rows:
            end, start = wide(row.token.past), wide(row.token.first)
            masked.append([])
            for position, score in zip(positions, scores[row.number], strict=True):
                seen = e.op(f"arith.cmpi slt, {position}, {end} : {I32}")
                if self.window:
                    recent = e.op(f"arith.cmpi sge, {position}, {start} : {I32}")
                    seen = e.op(f"arith.andi {seen}, {recent} : vector<16xi1>")
                masked[-1].append(e.op(f"arith.select {seen}, {score}, {e.floats(MASKED)} : vector<16xi1>, {F32}"))
        return masked

    def _softmax(self, e: Emitter, row: _Row, scores: list[str]) -> str:
        """Store exp(score - new maximum) in `weights`, update maximum and total, return the old sums' factor.

        A page that shows a row nothing (the tile's other tokens see it) meets a maximum that is still MASKED only
        before the row's first page, and what it adds there is multiplied by exp(MASKED - real), 1e-38, when that comes.
        """
        at = [e.index(row.number)]
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
            e.store(weight, "weights", [e.index(row.number), e.index(LANES * v)], F32)
            total = e.float_op("addf", total, weight)
        factor = exp(e, e.splat(e.op(f"arith.subf {old}, {new} : f32")))
        scalar = e.op(f"vector.extract {factor}[0] : f32 from {F32}")
        kept = e.op(f"arith.mulf {e.load_scalar('total', at)}, {scalar} : f32")
        e.store_scalar(e.op(f"arith.addf {kept}, {e.reduce('add', total)} : f32"), "total", at)
        return factor

    def _accumulate(self, e: Emitter, rows: list[_Row], factors: list[str], values: str, low: str, high: str) -> None:
        """y = y * factor + weights . V, several columns of 16 at a time, all rows sharing each value that is read.

        Only positions low..high of the page are read: memory that was never written may hold NaN, and 0 * NaN is NaN.
        """
        vd = self.cache.value_head_dim
        wide = max(c for c in range(1, REGISTERS // len(rows) + 1) if (vd // LANES) % c == 0)

        def columns(d: str) -> None:
            places = [[row.token.row, e.add(e.add(row.y, d), LANES * c)] for row in rows for c in range(wide)]
            spread = [factor for factor in factors for _ in range(wide)]
            sums = [e.float_op("mulf", e.load("y", at, F32), f) for at, f in zip(places, spread, strict=True)]

            def position(p: str, carried: list[str]) -> Sequence[str]:
                base = e.add(e.add(values, d), e.mul(p, vd))
                value = [self.cache.load(e, e.add(base, LANES * c)) for c in range(wide)]
                found = []
                for row in rows:
                    weight = e.splat(e.load_scalar("weights", [e.index(row.number), p]))
                    found += [e.fma(weight, value[c], carried[row.number * wide + c]) for c in range(wide)]
                return found

            sums = e.loop(low, high, 1, sums, F32, position)
            for at, total in zip(places, sums, strict=True):
                e.store(total, "y", at, F32)

        e.each("%origin", e.index(vd), LANES * wide, columns)
