"""Attention of the newest token of each sequence, from its unrotated query, key and value on: all of a decode step
between the matmuls around it, in one kernel.

A workgroup is one kv head of one row, or a part of its context. Each rotates the queries that it needs; the one whose
part ends with the newest position also writes the key and the value there, and reads them like all others.
"""

from sharkpack.templates.kernels.attention_heads import Heads, Output, attended, attention_tag
from sharkpack.templates.kernels.attention_rows import AttentionRow, Token
from sharkpack.templates.kernels.attention_split_k import Parts, room_for_parts
from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, place
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel, number_tag
from sharkpack.templates.kernels.rope_and_store import LoadHead, head_at, page_and_slot, rotated, store_key_value
from sharkpack.templates.kernels.rows import inverse_root

STACK_BYTES = 24 << 10
"""For what is kept of the heads that are worked on together; the compiler grants 32 KiB."""


def attention_step(
    cache: CacheLayout,
    heads: int,
    rope_dim: int,
    scale: float,
    *,
    window: int | None,
    cap: float = 0.0,
    epsilon: float | None = None,
    output: Output = "float32",
) -> Kernel:
    """`rope_and_store` and `attention` of rows that are sequences of their own, and before them, with an epsilon, the
    root mean square norm of each head of q and of k, by `q_norm` and `k_norm` [key_head_dim].

    parts: [rows, room_for_parts] float32, whose counters are 0 before and after.
    """
    writer = _Step(cache, heads, rope_dim, scale, window, cap, epsilon, output)
    kd, vd, kvh = cache.key_head_dim, cache.value_head_dim, cache.kv_heads
    inputs = [("q", heads * kd), ("k", kvh * kd), ("v", kvh * vd), ("angles", rope_dim)]
    norms = [] if epsilon is None else [Binding.of(name, f"{kd}xf32") for name in ("q_norm", "k_norm")]
    normed = "" if epsilon is None else f"_n{number_tag(epsilon)}"
    return Kernel(
        name=f"attention_step_q{heads}_r{rope_dim}_{attention_tag(window, scale, cap)}{normed}_{output}_{cache.tag}",
        bindings=(
            *(Binding.of(name, f"?x{width}xf32") for name, width in inputs),
            *norms,
            *BATCH_INPUTS,
            Binding.of("parts", f"?x{room_for_parts(heads, vd)}xf32", access="update"),
            cache.binding(),
            *attended(heads * vd, output),
        ),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=1,
        groups=kvh,
        split=writer.parts.split,
        body=writer.write,
    )


class _Step(Heads):
    def __init__(
        self,
        cache: CacheLayout,
        heads: int,
        rope_dim: int,
        scale: float,
        window: int | None,
        cap: float,
        epsilon: float | None,
        output: Output,
    ) -> None:
        super().__init__(cache, heads, scale, window, cap, output, queries="queries", prefetch=True)
        self.rope_dim, self.epsilon = rope_dim, epsilon
        self.parts = Parts(cache, self.span, heads, window)
        each = 4 * (cache.key_head_dim + cache.value_head_dim + self.span.pages * cache.page_size)
        most = max(1, STACK_BYTES // each)
        self.together = max(t for t in range(1, min(most, self.together) + 1) if self.group % t == 0)

    def write(self, e: Emitter) -> None:
        self.span.scratch(e, self.together)
        e.scratch("queries", f"{self.together}x{self.cache.key_head_dim}xf32")
        head, part, most = self.parts.place(e)
        e.do(f"%kv_head = arith.addi {head}, %origin : index")
        row = "%group_x"
        sequence, position = place(e, row)
        token = self.token(e, row, position, as_index(e, e.load_scalar("seq_lens", [sequence])))
        begin, end, used = self.parts.share(e, part, most, *self.pages(e, [token]))

        def mine() -> None:
            self.span.cached.prefetch_first(e, sequence, e.mul(begin, self.cache.page_size))
            last = e.op(f"arith.subi {used}, {e.index(1)} : index")
            e.branch(e.op(f"arith.cmpi eq, {part}, {last} : index"), lambda: self._store(e, row))
            e.each("%origin", e.index(self.group), self.together, some_heads)

        def some_heads(offset: str) -> None:
            rows = self._rows(e, token, offset)
            e.each("%origin", e.index(self.together), 1, lambda n: self._rotate(e, row, n, e.add(rows[0].head, n)))
            self.span.attend_pages(e, rows, sequence, begin, end)
            self.parts.finish(e, rows, part, used, lambda: self.finish(e, rows))

        e.branch(e.op(f"arith.cmpi ult, {part}, {used} : index"), mine)

    def _rows(self, e: Emitter, token: Token, offset: str) -> list[AttentionRow]:
        found: list[AttentionRow] = []
        for number in range(self.together):
            head = e.add(e.mul("%kv_head", self.group), e.add(offset, number))
            y = e.mul(head, self.cache.value_head_dim)
            found.append(AttentionRow(number=number, token=token, head=head, query=(e.index(number), "%origin"), y=y))
        return found

    def _store(self, e: Emitter, row: str) -> None:
        """Write the token's key and value of this kv head to their page."""
        key = self._rotated(e, "k", row, e.mul("%kv_head", self.cache.key_head_dim))
        value = head_at(e, "v", row, e.mul("%kv_head", self.cache.value_head_dim))
        store_key_value(e, self.cache, key, value, "%kv_head", page_and_slot(e, row, self.cache.page_size))

    def _rotate(self, e: Emitter, row: str, number: str, head: str) -> None:
        """Put a head's query where the dot products read it."""
        for offset, value in self._rotated(e, "q", row, e.mul(head, self.cache.key_head_dim)).items():
            e.store(value, "queries", [number, e.index(offset)], F32)

    def _rotated(self, e: Emitter, name: str, row: str, base: str) -> dict[int, str]:
        load = head_at(e, name, row, base)
        if self.epsilon is not None:
            load = self._normed(e, name, row, base, load)
        return rotated(e, load, row, self.cache.key_head_dim, self.rope_dim)

    def _normed(self, e: Emitter, name: str, row: str, base: str, load: LoadHead) -> LoadHead:
        assert self.epsilon is not None
        inverse = inverse_root(e, name, row, base, self.cache.key_head_dim, self.epsilon)

        def normed(offset: int) -> str:
            weight = e.load(f"{name}_norm", [e.index(offset)], F32)
            return e.float_op("mulf", e.float_op("mulf", load(offset), inverse), weight)

        return normed
