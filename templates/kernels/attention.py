"""Causal attention over the pages in place: online softmax, a tile of queries shares each key and value that is read.

One workgroup is one kv head and `query_tile` tokens of one sequence; its rows are those tokens times the heads that
share the kv head. Where there is room for it behind the queries, several workgroups share a long context. It never
gathers the cache, and a sliding window starts at the first page that the window touches.
The cache is passed through as if it were updated: a chain of single uses is what the compiler needs to see to keep
every later write in place.
"""

from typing import Literal

from sharkpack.templates.kernels.attention_parts import Parts
from sharkpack.templates.kernels.attention_span import ACCUMULATORS, Row, Span, Token
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
    prefill: bool,
    cap: float = 0.0,
    output: Output = "float32",
    room: int = 0,
) -> Kernel:
    """softmax(scale * q . K^T) . V of each query row [rows, heads*key_head_dim] over its sequence's positions
    0..its own (the last `window` of them, if given), [rows, heads*value_head_dim] float32, or quantised.

    prefill: tile several tokens of a sequence; without, each row is a workgroup of its own. cap: other than 0,
    scaled scores become cap * tanh(score / cap). room: floats behind the queries of each row, 0 or
    `attention_parts.room_for_parts`: then a long context is shared by several workgroups. Not with prefill.
    """
    writer = _Attention(cache, heads, scale, window, prefill, cap, output, in_parts=room > 0)
    width, q_width = heads * cache.value_head_dim, heads * cache.key_head_dim + room
    tag = f"w{window or 0}_s{_tag(scale)}" + (f"_c{_tag(cap)}" if cap else "")
    y = [Binding.of("y", f"?x{width}xf32", access="write")]
    return Kernel(
        name=f"attention_q{heads}_{tag}_t{writer.query_tile}{'_parts' if room else ''}_{output}_{cache.tag}",
        bindings=(
            Binding(
                name="q",
                memref=f"?x{q_width}xf32",
                tensor=f"?x{q_width}xf32",
                access="spend" if room else "read",
            ),
            *BATCH_INPUTS,
            cache.binding(),
            *(y if output == "float32" else quantized_outputs(width)),
        ),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=writer.query_tile,
        groups=cache.kv_heads,
        split=writer.parts.split if writer.parts else None,
        body=writer.write,
    )


class _Attention:
    def __init__(
        self,
        cache: CacheLayout,
        heads: int,
        scale: float,
        window: int | None,
        prefill: bool,
        cap: float,
        output: Output,
        *,
        in_parts: bool,
    ) -> None:
        self.cache, self.window, self.output = cache, window, output
        self.group = heads // cache.kv_heads
        most = max(1, max(ACCUMULATORS.values()) // (cache.page_size // LANES))
        self.together = max(t for t in range(1, most + 1) if self.group % t == 0)
        self.query_tile = max(1, most // self.group) if prefill else 1
        # In prefill, neighbouring tokens have read the same pages just before.
        self.span = Span(cache, scale, cap, windowed=bool(window), prefetch=not prefill)
        self.parts = Parts(cache, self.span, heads, window) if in_parts else None

    def write(self, e: Emitter) -> None:
        self.span.scratch(e, self.together * self.query_tile)
        head = self.parts.place(e)[0] if self.parts else "%group_y"
        e.do(f"%kv_head = arith.addi {head}, %origin : index")
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
        first_head = e.mul("%kv_head", self.group)

        def some_heads(offset: str) -> None:
            self._heads(e, tokens, sequence, e.add(first_head, offset))

        e.each("%origin", e.index(self.group), self.together, some_heads)

    def _token(self, e: Emitter, row: str, length: str) -> Token:
        _, position = place(e, row)
        # Padding rows attend as the last real token does: their result is never read, but must stay in bounds.
        past = e.minimum(e.add(position, 1), length)
        first = "%origin"
        if self.window:
            beyond = e.op(f"arith.maxui {past}, {e.index(self.window)} : index")
            first = e.op(f"arith.subi {beyond}, {e.index(self.window)} : index")
        return Token(row=row, first=first, past=past)

    def _heads(self, e: Emitter, tokens: list[Token], sequence: str, head: str) -> None:
        rows: list[Row] = []
        for token in tokens:
            for g in range(self.together):
                at = e.add(head, g)
                q, y = e.mul(at, self.cache.key_head_dim), e.mul(at, self.cache.value_head_dim)
                rows.append(Row(number=len(rows), token=token, head=at, q=q, y=y))
        size = self.cache.page_size
        first_page = e.op(f"arith.divui {tokens[0].first}, {e.index(size)} : index")  # positions ascend
        last_page = e.op(f"arith.ceildivui {tokens[-1].past}, {e.index(size)} : index")
        if self.parts is None:
            self._pages(e, rows, sequence, first_page, last_page)
            self._finish(e, rows)
        else:
            self._part(e, self.parts, rows, sequence, first_page, last_page)

    def _part(self, e: Emitter, parts: Parts, rows: list[Row], sequence: str, first_page: str, last_page: str) -> None:
        _, part, most = parts.place(e)
        begin, end, used = parts.share(e, part, most, first_page, last_page)

        def mine() -> None:
            self._pages(e, rows, sequence, begin, end)
            parts.finish(e, rows, part, used, lambda: self._finish(e, rows))

        e.branch(e.op(f"arith.cmpi ult, {part}, {used} : index"), mine, lambda: None)

    def _pages(self, e: Emitter, rows: list[Row], sequence: str, first_page: str, last_page: str) -> None:
        self.span.start(e, len(rows))

        def pages(slot: str) -> None:
            end = e.minimum(e.add(slot, self.span.pages), last_page)
            self.span.attend(e, rows, sequence, slot, end)

        e.each(first_page, last_page, self.span.pages, pages)

    def _finish(self, e: Emitter, rows: list[Row]) -> None:
        for row in rows:
            self._finish_row(e, row)

    def _finish_row(self, e: Emitter, row: Row) -> None:
        """The row's sums over its total, as float32 or as codes and scales."""
        inverse = self.span.inverse_total(e, row)

        def columns(tile: str) -> None:
            d = e.mul(tile, LANES)
            value = e.float_op("mulf", e.load("sums", [e.index(row.number), d], F32), inverse)
            at = e.add(row.y, d)
            if self.output == "float32":
                e.store(value, "y", [row.token.row, at], F32)
            else:
                quantize_half(e, value, row.token.row, e.op(f"arith.divui {at}, {e.index(LANES)} : index"))

        e.each("%origin", e.index(self.cache.value_head_dim // LANES), 1, columns)


def _tag(value: float) -> str:
    return f"{value:.6e}".replace(".", "p").replace("-", "m").replace("+", "")
