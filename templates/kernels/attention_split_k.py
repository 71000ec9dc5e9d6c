"""Split-K attention: each part of a context is a workgroup's; the last to end joins their results.

The parts' results stand in a buffer that all layers of a step use one after the other, and that begins with zeros.
"""

from collections.abc import Callable, Sequence

from sharkpack.templates.kernels.attention_rows import AttentionRow
from sharkpack.templates.kernels.attention_span import Span
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.elementwise import exp
from sharkpack.templates.kernels.emitter import F32, LANES, Emitter
from sharkpack.templates.kernels.kernel import Split

PART_BYTES = 128 << 10
"""Of keys and values that a part reads, at least: beginning and joining cost a hundredth of that."""

MOST = 8
"""Parts of a row, at most. A span's weights have room for a factor of each."""


def counters(heads: int) -> int:
    """Floats of a row that count, for each head, the parts that have ended. They end as they begin, with 0."""
    return -(-heads // LANES) * LANES


def room_for_parts(heads: int, value_head_dim: int) -> int:
    """Floats of a row: counters, then of each head and part its sums, totals and maximum."""
    return counters(heads) + heads * MOST * _part_width(value_head_dim)


def _part_width(value_head_dim: int) -> int:
    return value_head_dim + 2 * LANES


class Parts:
    """The parts of a row's context, in a kernel whose second dimension is kv heads, each with as many workgroups."""

    def __init__(self, cache: CacheLayout, span: Span, heads: int, window: int | None) -> None:
        self.cache, self.span, self.heads = cache, span, heads
        page_bytes = cache.page_size * (cache.key_head_dim + cache.value_head_dim) * cache.item_bytes
        steps = -(-PART_BYTES // (page_bytes * span.pages))
        self.pages = steps * span.pages
        seen = MOST * self.pages if window is None else -(-window // cache.page_size) + 1
        self.split = Split(dimension="table_width", each=self.pages, most=max(1, min(MOST, seen // self.pages)))

    def place(self, e: Emitter) -> tuple[str, str, str]:
        """(kv head, part, parts at most) of this workgroup."""
        most = e.op(f"arith.divui %group_count_y, {e.index(self.cache.kv_heads)} : index")
        head = e.op(f"arith.divui %group_y, {most} : index")
        return head, e.op(f"arith.remui %group_y, {most} : index"), most

    def share(self, e: Emitter, part: str, most: str, first: str, last: str) -> tuple[str, str, str]:
        """(begin, end, used): the part's pages of first..last-1, and how many parts those make; begin may be past."""
        count = e.op(f"arith.subi {last}, {first} : index")
        wanted = e.minimum(e.op(f"arith.ceildivui {count}, {e.index(self.pages)} : index"), most)
        each = e.op(f"arith.ceildivui {count}, {wanted} : index")
        steps = e.op(f"arith.ceildivui {each}, {e.index(self.span.pages)} : index")
        each = e.mul(steps, self.span.pages)
        begin = e.add(first, e.mul(part, each))
        return begin, e.minimum(e.add(begin, each), last), e.op(f"arith.ceildivui {count}, {each} : index")

    def finish(self, e: Emitter, rows: Sequence[AttentionRow], part: str, used: str, whole: Callable[[], None]) -> None:
        """Do `whole` if there is one part; else leave what this one found, and join all and do `whole` as the last."""

        def several() -> None:
            for row in rows:
                self._leave(e, row, part)
            # The rows are the heads of one workgroup, so that the counter of the first serves all of them.
            counter = [rows[0].token.row, rows[0].head]
            count = f"memref.atomic_rmw addf {e.float(1.0)}, %parts[{', '.join(counter)}]"
            before = e.op(f"{count} : (f32, {e.memref('parts')}) -> f32")
            others = e.op(f"arith.subi {used}, {e.index(1)} : index")
            others = e.op(f"arith.sitofp {e.op(f'arith.index_cast {others} : index to i32')} : i32 to f32")
            e.branch(e.op(f"arith.cmpf oeq, {before}, {others} : f32"), lambda: joined(counter))

        def joined(counter: list[str]) -> None:
            e.store_scalar(e.float(0.0), "parts", counter)
            for row in rows:
                self._join(e, row, used)
            whole()

        e.branch(e.op(f"arith.cmpi eq, {used}, {e.index(1)} : index"), whole, several)

    def _at(self, e: Emitter, row: AttentionRow, part: str) -> str:
        """Returns where in the row a part's results begin."""
        number = e.add(e.mul(row.head, MOST), part)
        return e.add(e.mul(number, _part_width(self.cache.value_head_dim)), counters(self.heads))

    def _leave(self, e: Emitter, row: AttentionRow, part: str) -> None:
        at, width = self._at(e, row, part), self.cache.value_head_dim
        number = e.index(row.number)

        def columns(d: str) -> None:
            e.store(e.load("sums", [number, d], F32), "parts", [row.token.row, e.add(at, d)], F32)

        e.each("%origin", e.index(width), LANES, columns)
        e.store(e.load("totals", [number, "%origin"], F32), "parts", [row.token.row, e.add(at, width)], F32)
        top = e.splat(e.load_scalar("maximum", [number]))
        e.store(top, "parts", [row.token.row, e.add(at, width + LANES)], F32)

    def _join(self, e: Emitter, row: AttentionRow, used: str) -> None:
        """Put a row's totals and sums over all parts where those of one would stand."""
        number, width = e.index(row.number), self.cache.value_head_dim

        def found(part: str, offset: str | int) -> str:
            return e.load("parts", [row.token.row, e.add(self._at(e, row, part), offset)], F32)

        def compare(part: str, carried: list[str]) -> Sequence[str]:
            return [e.larger(carried[0], found(part, width + LANES))]

        def weigh(part: str, carried: list[str]) -> Sequence[str]:
            factor = exp(e, e.float_op("subf", found(part, width + LANES), top))
            e.store(factor, "weights", [number, e.mul(part, LANES)], F32)
            return [e.fma(factor, found(part, width), carried[0])]

        def columns(d: str) -> None:
            def add(part: str, carried: list[str]) -> Sequence[str]:
                factor = e.load("weights", [number, e.mul(part, LANES)], F32)
                return [e.fma(factor, found(part, d), carried[0])]

            e.store(e.loop("%origin", used, 1, [e.floats(0.0)], F32, add)[0], "sums", [number, d], F32)

        (top,) = e.loop("%origin", used, 1, [found("%origin", width + LANES)], F32, compare)
        (totals,) = e.loop("%origin", used, 1, [e.floats(0.0)], F32, weigh)
        e.store(totals, "totals", [number, "%origin"], F32)
        e.each("%origin", e.index(width), LANES, columns)
