"""The kernel that rotates q and k and writes k and v into their page of the cache."""

from collections.abc import Callable, Sequence
from typing import Literal

from sharkpack.templates.kernels.cache import BATCH_DIMENSIONS, BATCH_INPUTS, CacheLayout, as_index, page_of, place
from sharkpack.templates.kernels.emitter import F32, LANES, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

LoadHead = Callable[[int], str]
"""16 values of a head, from that offset on."""


def rope_and_store(cache: CacheLayout, heads: int, rope_dim: int) -> Kernel:
    """Rotate the first `rope_dim` of each head of q and k (halves paired), return q, write k and v to their page.

    q [rows, heads*key_head_dim], k [rows, kv_heads*key_head_dim], v [rows, kv_heads*value_head_dim],
    angles [rows, rope_dim]: cosines, then sines. Rows at or past seq_lens are padding and go to page 0.
    """
    kd, vd, kvh = cache.key_head_dim, cache.value_head_dim, cache.kv_heads

    def body(e: Emitter) -> None:
        row = "%group_x"
        at = page_and_slot(e, row, cache.page_size)

        def query(head: str) -> None:
            base = e.mul(head, kd)
            for offset, value in rotated(e, head_at(e, "q", row, base), row, kd, rope_dim).items():
                e.store(value, "q_out", [row, e.add(base, offset)], F32)

        def key_value(head: str) -> None:
            keys = rotated(e, head_at(e, "k", row, e.mul(head, kd)), row, kd, rope_dim)
            store_key_value(e, cache, keys, head_at(e, "v", row, e.mul(head, vd)), head, at)

        e.each("%origin", e.index(heads), 1, query)
        e.each("%origin", e.index(kvh), 1, key_value)

    inputs = (_rows("q", heads * kd), _rows("k", kvh * kd), _rows("v", kvh * vd), _rows("angles", rope_dim))
    return Kernel(
        name=f"rope_and_store_q{heads}_r{rope_dim}_{cache.tag}",
        bindings=(*inputs, *BATCH_INPUTS, cache.binding(), _rows("q_out", heads * kd, "write")),
        operands=("layer",),
        dimensions={"rows": ("q", 0), **BATCH_DIMENSIONS},
        row_tile=1,
        body=body,
    )


def _rows(name: str, width: int, access: Literal["read", "write"] = "read") -> Binding:
    return Binding.of(name, f"?x{width}xf32", access=access)


def page_and_slot(e: Emitter, row: str, page_size: int) -> tuple[str, str]:
    """The page that a row's token goes to, and its place there.

    A padding row's position may lie past the page table: it looks up the first page instead, and drops it.
    """
    sequence, position = place(e, row)
    length = as_index(e, e.load_scalar("seq_lens", [sequence]))
    valid = e.op(f"arith.cmpi ult, {position}, {length} : index")
    safe = e.op(f"arith.select {valid}, {position}, %origin : index")
    page = e.op(f"arith.select {valid}, {page_of(e, sequence, safe, page_size)}, %origin : index")
    return page, e.op(f"arith.remui {position}, {e.index(page_size)} : index")


def head_at(e: Emitter, name: str, row: str, base: str) -> LoadHead:
    """A head of a row of the binding `name`, from column `base` on."""
    return lambda offset: e.load(name, [row, e.add(base, offset)], F32)


def rotated(e: Emitter, load: LoadHead, row: str, head_dim: int, rope_dim: int) -> dict[int, str]:
    """The vector of each 16 values of one head of a row after rotation, by its offset in the head."""
    found, half = {}, rope_dim // 2
    for i in range(0, half, LANES):
        cos, sin = e.load("angles", [row, e.index(i)], F32), e.load("angles", [row, e.index(half + i)], F32)
        a, b = load(i), load(half + i)
        negative = e.op(f"arith.negf {sin} : {F32}")
        found[i] = e.fma(a, cos, e.float_op("mulf", b, negative))
        found[half + i] = e.fma(b, cos, e.float_op("mulf", a, sin))
    return found | {i: load(i) for i in range(rope_dim, head_dim, LANES)}


def store_key_value(
    e: Emitter, cache: CacheLayout, key: dict[int, str], value: LoadHead, head: str, at: tuple[str, str]
) -> None:
    """Write a rotated key, given by the offsets of its vectors, and a value to their place, a page and a slot."""
    page, slot = at
    values = [value(i) for i in range(0, cache.value_head_dim, LANES)]
    _store_key(e, cache, key, cache.key_head(e, page, "%layer", head), slot)
    _store_value(e, cache, values, cache.value_head(e, page, "%layer", head), slot)


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
