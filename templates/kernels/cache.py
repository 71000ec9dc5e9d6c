"""Where things lie in the paged cache, and the kernel that rotates q and k and writes k and v into their page.

A page holds, for each layer: the keys of each kv head as [key_head_dim][page_size] (so that the scores of 16 positions
are one vector), then the values of each kv head as [page_size][value_head_dim]. Elements are f16 or f32.
"""

from dataclasses import dataclass
from typing import Literal

from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.halves import F16, narrow, widen
from sharkpack.templates.kernels.kernel import Kernel

CacheDtype = Literal["f16", "f32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout:
    """The shape of one page: the only thing that the two kernels below the attention share."""

    dtype: CacheDtype
    page_size: int
    layers: int
    kv_heads: int
    key_head_dim: int
    value_head_dim: int

    @property
    def layer_elements(self) -> int:
        return self.kv_heads * self.page_size * (self.key_head_dim + self.value_head_dim)

    @property
    def page_elements(self) -> int:
        return self.layers * self.layer_elements

    @property
    def item_bytes(self) -> int:
        return {"f16": 2, "f32": 4}[self.dtype]

    @property
    def tag(self) -> str:
        return (
            f"{self.dtype}_p{self.page_size}_l{self.layers}_h{self.kv_heads}"
            f"_k{self.key_head_dim}_v{self.value_head_dim}"
        )

    def binding(self) -> Binding:
        tensor = f"?x{self.page_elements}x{self.dtype}"
        return Binding(name="cache", memref=f"?x{self.dtype}", tensor=tensor, access="update")

    def key_head(self, e: Emitter, page: str, layer: str, head: str) -> str:
        """Element index of a key head's [key_head_dim][page_size] in `page`."""
        start = e.add(e.mul(page, self.page_elements), e.mul(layer, self.layer_elements))
        return e.add(start, e.mul(head, self.page_size * self.key_head_dim))

    def value_head(self, e: Emitter, page: str, layer: str, head: str) -> str:
        """Element index of a value head's [page_size][value_head_dim] in `page`."""
        start = e.add(e.mul(page, self.page_elements), e.mul(layer, self.layer_elements))
        start = e.add(start, self.kv_heads * self.page_size * self.key_head_dim)
        return e.add(start, e.mul(head, self.page_size * self.value_head_dim))

    def load(self, e: Emitter, at: str) -> str:
        """16 consecutive elements as f32."""
        if self.dtype == "f32":
            return e.load("cache", [at], F32)
        return widen(e, e.load("cache", [at], F16))

    def narrow(self, e: Emitter, value: str) -> str:
        """16 f32 values as cache elements."""
        return value if self.dtype == "f32" else narrow(e, value)

    @property
    def vector(self) -> str:
        return f"vector<16x{self.dtype}>"


BATCH_INPUTS = (
    Binding(name="page_ids", memref="?xi64", tensor="?x?xi64"),
    Binding(name="start_positions", memref="?xi64", tensor="?xi64"),
    Binding(name="seq_lens", memref="?xi64", tensor="?xi64"),
)
"""What a kernel needs to find a token's page: [N, P], [N], [N]."""

BATCH_DIMENSIONS = {"sequences": ("start_positions", 0), "table_width": ("page_ids", 1)}


def as_index(e: Emitter, value: str) -> str:
    return e.op(f"arith.index_cast {value} : i64 to index")


def place(e: Emitter, token: str) -> tuple[str, str]:
    """(sequence, position) of a row, rows being [sequences, tokens each] flattened."""
    each = e.op("arith.divui %rows, %sequences : index")
    sequence = e.op(f"arith.divui {token}, {each} : index")
    offset = e.op(f"arith.remui {token}, {each} : index")
    start = as_index(e, e.load_scalar("start_positions", [sequence]))
    return sequence, e.add(start, offset)


def page_of(e: Emitter, sequence: str, position: str, page_size: int) -> str:
    slot = e.op(f"arith.divui {position}, {e.index(page_size)} : index")
    at = e.add(e.mul(sequence, "%table_width"), slot)
    return as_index(e, e.load_scalar("page_ids", [at]))


def rope_and_store(cache: CacheLayout, heads: int, rope_dim: int) -> Kernel:
    """Rotate the first `rope_dim` of each head of q and k (halves paired), return q, write k and v to their page.

    q [rows, heads*key_head_dim], k [rows, kv_heads*key_head_dim], v [rows, kv_heads*value_head_dim],
    angles [rows, rope_dim]: cosines, then sines. Rows at or past seq_lens are padding and go to page 0.
    """
    kd, vd, kvh, half = cache.key_head_dim, cache.value_head_dim, cache.kv_heads, rope_dim // 2

    def rotated(e: Emitter, name: str, row: str, base: str) -> list[tuple[int, str]]:
        """(offset in the head, vector) of each 16 values of one head after rotation."""
        found = []
        for i in range(0, half, 16):
            cos, sin = e.load("angles", [row, e.index(i)], F32), e.load("angles", [row, e.index(half + i)], F32)
            a, b = e.load(name, [row, e.add(base, i)], F32), e.load(name, [row, e.add(base, half + i)], F32)
            negative = e.op(f"arith.negf {sin} : {F32}")
            found.append((i, e.fma(a, cos, e.float_op("mulf", b, negative))))
            found.append((half + i, e.fma(b, cos, e.float_op("mulf", a, sin))))
        return found + [(i, e.load(name, [row, e.add(base, i)], F32)) for i in range(rope_dim, kd, 16)]

    def body(e: Emitter) -> None:
        row = "%group_x"
        sequence, position = place(e, row)
        length = as_index(e, e.load_scalar("seq_lens", [sequence]))
        valid = e.op(f"arith.cmpi ult, {position}, {length} : index")
        # A padding row's position may lie past the page table: it looks up the first page instead, and drops it.
        safe = e.op(f"arith.select {valid}, {position}, %origin : index")
        page = e.op(f"arith.select {valid}, {page_of(e, sequence, safe, cache.page_size)}, %origin : index")
        slot = e.op(f"arith.remui {position}, {e.index(cache.page_size)} : index")

        def query(head: str) -> None:
            base = e.mul(head, kd)
            for offset, value in rotated(e, "q", row, base):
                e.store(value, "q_out", [row, e.add(base, offset)], F32)

        def key_value(head: str) -> None:
            keys = e.add(cache.key_head(e, page, "%layer", head), slot)
            for offset, value in rotated(e, "k", row, e.mul(head, kd)):
                small = cache.narrow(e, value)
                for lane in range(16):
                    scalar = e.op(f"vector.extract {small}[{lane}] : {cache.dtype} from {cache.vector}")
                    e.store_scalar(scalar, "cache", [e.add(keys, (offset + lane) * cache.page_size)])
            values = e.add(cache.value_head(e, page, "%layer", head), e.mul(slot, vd))
            for i in range(0, vd, 16):
                value = cache.narrow(e, e.load("v", [row, e.add(e.mul(head, vd), i)], F32))
                e.store(value, "cache", [e.add(values, i)], cache.vector)

        e.each("%origin", e.index(heads), 1, query)
        e.each("%origin", e.index(kvh), 1, key_value)

    def rows(name: str, width: int) -> Binding:
        return Binding(name=name, memref=f"?x{width}xf32", tensor=f"?x{width}xf32")

    return Kernel(
        name=f"rope_and_store_q{heads}_r{rope_dim}_{cache.tag}",
        bindings=(
            rows("q", heads * kd),
            rows("k", kvh * kd),
            rows("v", kvh * vd),
            rows("angles", rope_dim),
            *BATCH_INPUTS,
            cache.binding(),
            Binding(name="q_out", memref=f"?x{heads * kd}xf32", tensor=f"?x{heads * kd}xf32", access="write"),
        ),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=1,
        body=body,
    )
