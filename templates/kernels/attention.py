"""Causal attention over the pages in place: online softmax, a tile of queries shares each key and value that is read.

One workgroup is one kv head and `query_tile` tokens of one sequence; its rows are those tokens times the heads that
share the kv head. It never gathers the cache, and a sliding window starts at the first page that the window touches.
The cache is passed through as if it were updated: a chain of single uses is what the compiler needs to see to keep
every later write in place.
"""

from sharkpack.templates.kernels.attention_heads import Heads, Output, attended, attention_tag
from sharkpack.templates.kernels.attention_rows import AttentionRow, Token
from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, place
from sharkpack.templates.kernels.emitter import Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel


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

    def _rows(self, e: Emitter, tokens: list[Token], head: str) -> list[AttentionRow]:
        found: list[AttentionRow] = []
        for token in tokens:
            for g in range(self.together):
                at = e.add(head, g)
                q, y = e.mul(at, self.cache.key_head_dim), e.mul(at, self.cache.value_head_dim)
                found.append(AttentionRow(number=len(found), token=token, head=at, query=(token.row, q), y=y))
        return found
