"""The paged cache in kernels: instructions on what lies where by formats.cache_geometry, and on a token's page."""

from collections.abc import Sequence
from dataclasses import dataclass

from sharkpack.formats.cache_geometry import CacheGeometry
from sharkpack.templates.kernels.elementwise import integer_codes
from sharkpack.templates.kernels.emitter import F32, I32, Binding, Emitter
from sharkpack.templates.kernels.halves import F16, narrow, widen


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLayout(CacheGeometry):
    """The cache's geometry with the instructions that find, load and store its elements."""

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
        """Returns where the scales [key_head_dim / key_block][page_size] of the key head at `keys` begin."""
        return e.add(keys, self.page_size * self.key_head_dim)

    def value_scales(self, e: Emitter, values: str) -> str:
        """Returns where the scales [page_size] of the value head at `values` begin."""
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
    Binding.of("start_positions", "?xi64"),
    Binding.of("seq_lens", "?xi64"),
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
