"""Causal attention over the pages in place: online softmax, a tile of queries shares each key and value that is read.

One workgroup is one kv head and `query_tile` tokens of one sequence; its rows are those tokens times the heads that
share the kv head. It never gathers the cache, and a sliding window starts at the first page that the window touches.
The cache is passed through as if it were updated: a chain of single uses is what the compiler needs to see to keep
every later write in place.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from sharkpack.templates.kernels.attention_rows import Row, Token
from sharkpack.templates.kernels.attention_span import ACCUMULATORS, Span
from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, place
from sharkpack.templates.kernels.elementwise import quantize_half
from sharkpack.templates.kernels.emitter import F32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.rows import quantized_outputs

Output = Literal["float32", "int8"]


def attention(
    cache: CacheLayout,
    heads: int,
    scale: float,
    *,
    window: int | None,
    cap: float = 0.0,
    output: Output = "float32",
) -> Kernel:
    """softmax(scale * q . K^T) . V of each query row [rows, heads*key_head_dim] over its sequence's positions
    0..its own (the last `window` of them, if given), [rows, heads*value_head_dim] float32, or quantised.

    cap: other than 0, scaled scores become cap * tanh(score / cap).
    """
    writer = _Tiles(cache, heads, scale, window, cap, output)
    width, q_width = heads * cache.value_head_dim, heads * cache.key_head_dim
    tag = attention_tag(window, scale, cap)
    return Kernel(
        name=f"attention_q{heads}_{tag}_t{writer.query_tile}_{output}_{cache.tag}",
        bindings=(Binding.of("q", f"?x{q_width}xf32"), *BATCH_INPUTS, cache.binding(), *attended(width, output)),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=writer.query_tile,
        groups=cache.kv_heads,
        body=writer.write,
    )


def attention_tag(window: int | None, scale: float, cap: float) -> str:
    """Of a kernel's name."""
    return f"w{window or 0}_s{_tag(scale)}" + (f"_c{_tag(cap)}" if cap else "")


def attended(width: int, output: Output) -> list[Binding]:
    """The bindings of what attention gives."""
    y = [Binding.of("y", f"?x{width}xf32", access="write")]
    return y if output == "float32" else quantized_outputs(width)


class Heads:
    """The query heads that share a kv head: how many of them are worked on together, which rows they make with some
    tokens, and how a row ends. queries: the buffer that they are read from."""

    def __init__(
        self,
        cache: CacheLayout,
        heads: int,
        scale: float,
        window: int | None,
        cap: float,
        output: Output,
        *,
        queries: str,
        prefetch: bool,
    ) -> None:
        self.cache, self.window, self.output = cache, window, output
        self.group = heads // cache.kv_heads
        self.most = max(1, max(ACCUMULATORS.values()) // (cache.page_size // LANES))
        self.together = max(t for t in range(1, self.most + 1) if self.group % t == 0)
        self.span = Span(cache, scale, cap, windowed=bool(window), queries=queries, prefetch=prefetch)

    def token(self, e: Emitter, row: str, position: str, length: str) -> Token:
        # Padding rows attend as the last real token does: their result is never read, but must stay in bounds.
        past = e.minimum(e.add(position, 1), length)
        first = "%origin"
        if self.window:
            beyond = e.op(f"arith.maxui {past}, {e.index(self.window)} : index")
            first = e.op(f"arith.subi {beyond}, {e.index(self.window)} : index")
        return Token(row=row, first=first, past=past)

    def pages(self, e: Emitter, tokens: Sequence[Token]) -> tuple[str, str]:
        """(first, last): pages first..last-1 of their sequence's table hold what some tokens see; positions ascend."""
        size = e.index(self.cache.page_size)
        first = e.op(f"arith.divui {tokens[0].first}, {size} : index")
        return first, e.op(f"arith.ceildivui {tokens[-1].past}, {size} : index")

    def finish(self, e: Emitter, rows: Sequence[Row]) -> None:
        """Each row's sums over its total, as float32 or as codes and scales."""
        for row in rows:
            self.span.finish(e, row, self._writer(e, row.token.row))

    def _writer(self, e: Emitter, row: str) -> Callable[[str, str], None]:
        def write(value: str, column: str) -> None:
            if self.output == "float32":
                e.store(value, "y", [row, column], F32)
            else:
                quantize_half(e, value, row, e.op(f"arith.divui {column}, {e.index(LANES)} : index"))

        return write


class _Tiles(Heads):
    """Several tokens of a sequence to a workgroup; they read their queries where they are."""

    def __init__(
        self, cache: CacheLayout, heads: int, scale: float, window: int | None, cap: float, output: Output
    ) -> None:
        # Neighbouring tokens have read the same pages just before: nothing is asked for ahead.
        super().__init__(cache, heads, scale, window, cap, output, queries="q", prefetch=False)
        self.query_tile = max(1, self.most // self.group)

    def write(self, e: Emitter) -> None:
        self.span.scratch(e, self.together * self.query_tile)
        e.do("%kv_head = arith.addi %group_y, %origin : index")
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
        tokens = [self.token(e, row, place(e, row)[1], length) for row in rows]
        first_head = e.mul("%kv_head", self.group)

        def some_heads(offset: str) -> None:
            found = self._rows(e, tokens, e.add(first_head, offset))
            self.span.attend_pages(e, found, sequence, *self.pages(e, tokens))
            self.finish(e, found)

        e.each("%origin", e.index(self.group), self.together, some_heads)

    def _rows(self, e: Emitter, tokens: list[Token], head: str) -> list[Row]:
        found: list[Row] = []
        for token in tokens:
            for g in range(self.together):
                at = e.add(head, g)
                q, y = e.mul(at, self.cache.key_head_dim), e.mul(at, self.cache.value_head_dim)
                found.append(Row(number=len(found), token=token, head=at, query=(token.row, q), y=y))
        return found


def _tag(value: float) -> str:
    return f"{value:.6e}".replace(".", "p").replace("-", "m").replace("+", "")
