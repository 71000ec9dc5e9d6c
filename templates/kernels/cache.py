"""Where things lie in the paged cache, and the kernel that rotates q and k and writes k and v into their page.

A page holds, for each layer: the keys of each kv head as [key_head_dim][page_size] (so that the scores of 16 positions
are one vector), then the values of each kv head as [page_size][value_head_dim]. Elements are f16, f32 or i8: then a
head's keys are followed by f32 scales [key_head_dim / key_block][page_size], its values by [page_size].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sharkpack.formats.signature import CACHE_ITEM_BYTES, key_block
from sharkpack.templates.kernels.elementwise import integer_codes
from sharkpack.templates.kernels.emitter import F32, I32, LANES, Binding, Emitter
from sharkpack.templates.kernels.halves import F16, narrow, widen
from sharkpack.templates.kernels.kernel import Kernel

CacheDtype = Literal["f16", "f32", "i8"]


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
    def key_block(self) -> int:
        return key_block(self.key_head_dim)

    @property
    def has_scales(self) -> bool:
        return self.dtype == "i8"

    @property
    def key_elements(self) -> int:
        """Of one head in one page, with its scales."""
        return self.page_size * self.key_head_dim + self._scales(self.key_head_dim // self.key_block)

    @property
    def value_elements(self) -> int:
        """Of one head in one page, with its scales."""
        return self.page_size * self.value_head_dim + self._scales(1)

    def _scales(self, each: int) -> int:
        """Bytes of `each` scales of a position's key or value."""
        return 4 * each * self.page_size if self.has_scales else 0

    @property
    def layer_elements(self) -> int:
        return self.kv_heads * (self.key_elements + self.value_elements)

    @property
    def page_elements(self) -> int:
        return self.layers * self.layer_elements

    @property
    def item_bytes(self) -> int:
        return CACHE_ITEM_BYTES[self.dtype]

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
        return e.add(start, e.mul(head, self.key_elements))

    def value_head(self, e: Emitter, page: str, layer: str, head: str) -> str:
        """Element index of a value head's [page_size][value_head_dim] in `page`."""
        start = e.add(e.mul(page, self.page_elements), e.mul(layer, self.layer_elements))
        start = e.add(start, self.kv_heads * self.key_elements)
        return e.add(start, e.mul(head, self.value_elements))

    def key_scales(self, e: Emitter, keys: str) -> str:
        """Where the scales [key_head_dim / key_block][page_size] of the key head at `keys` begin."""
        return e.add(keys, self.page_size * self.key_head_dim)

    def value_scales(self, e: Emitter, values: str) -> str:
        """Where the scales [page_size] of the value head at `values` begin."""
        return e.add(values, self.page_size * self.value_head_dim)

    def load(self, e: Emitter, at: str) -> str:
        """16 consecutive elements as f32."""
        if self.dtype == "f32":
            return e.load("cache", [at], F32)
        if self.dtype == "f16":
            return widen(e, e.load("cache", [at], F16))
        wide = e.op(f"arith.extsi {e.load('cache', [at], self.vector)} : {self.vector} to {I32}")
        return e.op(f"arith.sitofp {wide} : {I32} to {F32}")

    def load_scales(self, e: Emitter, at: str) -> str:
        """The scales of 16 consecutive positions."""
        return e.bitcast(e.load("cache", [at], "vector<64xi8>"), "vector<64xi8>", F32)

    def store_scale(self, e: Emitter, scale: str, at: str) -> None:
        """Store one f32."""
        one = e.splat(scale, "f32", "vector<1xf32>")
        e.store(e.bitcast(one, "vector<1xf32>", "vector<4xi8>"), "cache", [at], "vector<4xi8>")

    def elements(self, e: Emitter, values: Sequence[str]) -> tuple[list[str], str]:
        """Some vectors of 16 f32 as cache elements, and the scale that they share (empty if there are none)."""
        if self.dtype == "f32":
            return list(values), ""
        if self.dtype == "f16":
            return [narrow(e, value) for value in values], ""
        codes, scale = integer_codes(e, values)
        return [e.op(f"arith.trunci {code} : {I32} to {self.vector}") for code in codes], scale

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

    def rotated(e: Emitter, name: str, row: str, base: str) -> dict[int, str]:
        """The vector of each 16 values of one head after rotation, by its offset in the head."""
        found = {}
        for i in range(0, half, 16):
            cos, sin = e.load("angles", [row, e.index(i)], F32), e.load("angles", [row, e.index(half + i)], F32)
            a, b = e.load(name, [row, e.add(base, i)], F32), e.load(name, [row, e.add(base, half + i)], F32)
            negative = e.op(f"arith.negf {sin} : {F32}")
            found[i] = e.fma(a, cos, e.float_op("mulf", b, negative))
            found[half + i] = e.fma(b, cos, e.float_op("mulf", a, sin))
        return found | {i: e.load(name, [row, e.add(base, i)], F32) for i in range(rope_dim, kd, 16)}

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
            for offset, value in rotated(e, "q", row, base).items():
                e.store(value, "q_out", [row, e.add(base, offset)], F32)

        def key_value(head: str) -> None:
            keys = rotated(e, "k", row, e.mul(head, kd))
            _store_key(e, cache, keys, cache.key_head(e, page, "%layer", head), slot)
            values = [e.load("v", [row, e.add(e.mul(head, vd), i)], F32) for i in range(0, vd, LANES)]
            _store_value(e, cache, values, cache.value_head(e, page, "%layer", head), slot)

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


def _store_key(e: Emitter, cache: CacheLayout, vectors: dict[int, str], head: str, slot: str) -> None:
    """Scatter a key, given by the offsets of its vectors, over the dimensions of the key head at `head`."""
    at, scales = e.add(head, slot), e.add(cache.key_scales(e, head), e.mul(slot, 4))
    for block in range(0, cache.key_head_dim, cache.key_block):
        offsets = range(block, block + cache.key_block, LANES)
        elements, scale = cache.elements(e, [vectors[offset] for offset in offsets])
        for offset, vector in zip(offsets, elements, strict=True):
            for lane in range(LANES):
                scalar = e.op(f"vector.extract {vector}[{lane}] : {cache.dtype} from {cache.vector}")
                e.store_scalar(scalar, "cache", [e.add(at, (offset + lane) * cache.page_size)])
        if cache.has_scales:
            cache.store_scale(e, scale, e.add(scales, block // cache.key_block * 4 * cache.page_size))


def _store_value(e: Emitter, cache: CacheLayout, vectors: Sequence[str], head: str, slot: str) -> None:
    """Store a value, given by its vectors, in the value head at `head`."""
    at = e.add(head, e.mul(slot, cache.value_head_dim))
    elements, scale = cache.elements(e, vectors)
    for number, vector in enumerate(elements):
        e.store(vector, "cache", [e.add(at, LANES * number)], cache.vector)
    if cache.has_scales:
        cache.store_scale(e, scale, e.add(cache.value_scales(e, head), e.mul(slot, 4)))
