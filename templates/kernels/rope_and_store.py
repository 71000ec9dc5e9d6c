"""The kernel that rotates q and k and writes k and v into their page of the cache."""

from collections.abc import Sequence
from typing import Literal

from sharkpack.templates.kernels.attention_parts import counters
from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, page_of, place
from sharkpack.templates.kernels.emitter import F32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel


def rope_and_store(cache: CacheLayout, heads: int, rope_dim: int, room: int = 0) -> Kernel:
    """Rotate the first `rope_dim` of each head of q and k (halves paired), return q, write k and v to their page.

    q [rows, heads*key_head_dim], k [rows, kv_heads*key_head_dim], v [rows, kv_heads*value_head_dim],
    angles [rows, rope_dim]: cosines, then sines. Rows at or past seq_lens are padding and go to page 0.
    room: floats behind each row of the returned q, for attention in parts; the counters that it begins with are 0.
    """
    kd, vd, kvh = cache.key_head_dim, cache.value_head_dim, cache.kv_heads

    def body(e: Emitter) -> None:
        row = "%group_x"
        page, slot = _page_and_slot(e, row, cache.page_size)

        def query(head: str) -> None:
            base = e.mul(head, kd)
            for offset, value in _rotated(e, "q", row, base, kd, rope_dim).items():
                e.store(value, "q_out", [row, e.add(base, offset)], F32)

        def key_value(head: str) -> None:
            keys = _rotated(e, "k", row, e.mul(head, kd), kd, rope_dim)
            _store_key(e, cache, keys, cache.key_head(e, page, "%layer", head), slot)
            values = [e.load("v", [row, e.add(e.mul(head, vd), i)], F32) for i in range(0, vd, LANES)]
            _store_value(e, cache, values, cache.value_head(e, page, "%layer", head), slot)

        e.each("%origin", e.index(heads), 1, query)
        for offset in range(0, counters(heads) if room else 0, LANES):
            e.store(e.floats(0.0), "q_out", [row, e.index(heads * kd + offset)], F32)
        e.each("%origin", e.index(kvh), 1, key_value)

    inputs = (_rows("q", heads * kd), _rows("k", kvh * kd), _rows("v", kvh * vd), _rows("angles", rope_dim))
    return Kernel(
        name=f"rope_and_store_q{heads}_r{rope_dim}{'_parts' if room else ''}_{cache.tag}",
        bindings=(*inputs, *BATCH_INPUTS, cache.binding(), _rows("q_out", heads * kd + room, "write")),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=1,
        body=body,
    )


def _rows(name: str, width: int, access: Literal["read", "write"] = "read") -> Binding:
    return Binding.of(name, f"?x{width}xf32", access=access)


def _page_and_slot(e: Emitter, row: str, page_size: int) -> tuple[str, str]:
    """The page that a row's token goes to, and its place there.

    A padding row's position may lie past the page table: it looks up the first page instead, and drops it.
    """
    sequence, position = place(e, row)
    length = as_index(e, e.load_scalar("seq_lens", [sequence]))
    valid = e.op(f"arith.cmpi ult, {position}, {length} : index")
    safe = e.op(f"arith.select {valid}, {position}, %origin : index")
    page = e.op(f"arith.select {valid}, {page_of(e, sequence, safe, page_size)}, %origin : index")
    return page, e.op(f"arith.remui {position}, {e.index(page_size)} : index")


def _rotated(e: Emitter, name: str, row: str, base: str, head_dim: int, rope_dim: int) -> dict[int, str]:
    """The vector of each 16 values of one head after rotation, by its offset in the head."""
    found, half = {}, rope_dim // 2
    for i in range(0, half, LANES):
        cos, sin = e.load("angles", [row, e.index(i)], F32), e.load("angles", [row, e.index(half + i)], F32)
        a, b = e.load(name, [row, e.add(base, i)], F32), e.load(name, [row, e.add(base, half + i)], F32)
        negative = e.op(f"arith.negf {sin} : {F32}")
        found[i] = e.fma(a, cos, e.float_op("mulf", b, negative))
        found[half + i] = e.fma(b, cos, e.float_op("mulf", a, sin))
    return found | {i: e.load(name, [row, e.add(base, i)], F32) for i in range(rope_dim, head_dim, LANES)}


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
