"""The query heads of a kv head in attention kernels: the rows they make with tokens, and the end of a row."""

from collections.abc import Callable, Sequence
from typing import Literal

from sharkpack.templates.kernels.attention_rows import AttentionRow, Token
from sharkpack.templates.kernels.attention_span import ACCUMULATORS, Span
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.elementwise import quantize_half
from sharkpack.templates.kernels.emitter import F32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import number_tag
from sharkpack.templates.kernels.rows import quantized_outputs

Output = Literal["float32", "int8"]


def attention_tag(window: int | None, scale: float, cap: float) -> str:
    """Returns the part of a kernel's name that tells window, scale and cap."""
    return f"w{window or 0}_s{number_tag(scale)}" + (f"_c{number_tag(cap)}" if cap else "")


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

    def finish(self, e: Emitter, rows: Sequence[AttentionRow]) -> None:
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
