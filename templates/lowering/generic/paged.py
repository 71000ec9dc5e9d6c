"""The paged cache on tensors: where a row's keys and values lie in it, writing them in place, reading them back."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.lowering.generic.in_place import map_through
from sharkpack.templates.lowering.generic.scalars import Scalar
from sharkpack.templates.lowering.generic.tensors import Expression, Size, Tensor, Writer

Address = Callable[[Scalar, Scalar, Scalar], Scalar]
"""Maps a head, an index within it and a slot of a page to an element of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The keys or the values of one layer's heads within a page, in elements; `start` is where those of head 0 begin.

    An element of dimension d and slot s is at d * along + s * across of its head. Behind all of them an i8 cache has
    float32 scales: that of block b at 4 * (b * page_size + s).
    """

    start: Scalar
    heads: int
    head_elements: int
    dim: int
    block: int
    along: int
    across: int
    page_size: int

    def at(self, head: Scalar, d: Scalar, slot: Scalar) -> Scalar:
        return self._head(head) + slot * self.across + d * self.along

    def scale_at(self, head: Scalar, block: Scalar, slot: Scalar) -> Scalar:
        return self._head(head) + self.dim * self.page_size + (block * self.page_size + slot) * 4

    def _head(self, head: Scalar) -> Scalar:
        return head * self.head_elements + self.start


def planes(cache: CacheLayout, layer: Scalar) -> tuple[Plane, Plane]:
    """Returns the planes of a layer's keys, [dim][slot] in each head, and values, [slot][dim]."""
    start, size = layer * cache.layer_elements, cache.page_size
    keys = Plane(
        start=start,
        heads=cache.kv_heads,
        head_elements=cache.key_elements,
        dim=cache.key_head_dim,
        block=cache.key_block,
        along=size,
        across=1,
        page_size=size,
    )
    values = Plane(
        start=start + cache.kv_heads * cache.key_elements,
        heads=cache.kv_heads,
        head_elements=cache.value_elements,
        dim=cache.value_head_dim,
        block=cache.value_head_dim,
        along=1,
        across=cache.value_head_dim,
        page_size=size,
    )
    return keys, values


@dataclass(frozen=True, slots=True)
class CallRows:
    """The rows of a call: [sequences, `each` tokens] flattened, of tokens from their sequence's start position on."""

    page_ids: Tensor
    start_positions: Tensor
    seq_lens: Tensor
    each: Size

    def sequence(self, row: Scalar) -> Scalar:
        return row // self.each

    def position(self, row: Scalar) -> Scalar:
        return self.start_positions[self.sequence(row)].index + row % self.each

    def sees(self, row: Scalar, at: Scalar, window: int) -> Scalar:
        """Returns whether a row sees a position: none after its own, and none `window` (0: no limit) before it."""
        last = self.seq_lens[self.sequence(row)].index - 1
        position = self.position(row).minimum(last)
        visible = at.is_("ule", position)
        return visible & (at + window).is_("ugt", position) if window else visible


def load(w: Writer, cache: Tensor, plane: Plane, rows: CallRows) -> tuple[Tensor, Tensor]:
    """Returns the cache, and float32 [sequences, heads, positions of the page table, dim] read from it.

    Behind a sequence's end its last position is repeated: what nobody wrote need not be a number.
    """
    sequences, width = rows.page_ids.sizes

    def element_of(cache: Tensor, page_ids: Tensor, seq_lens: Tensor, start: Scalar) -> Expression:
        here = replace(plane, start=start)

        def element(sequence: Scalar, head: Scalar, position: Scalar, d: Scalar) -> Scalar:
            position = position.minimum(seq_lens[sequence].index - 1)
            page = page_ids[sequence, position // plane.page_size].index
            return _element(cache, here, page, head, d, position % plane.page_size)

        return element

    sizes = (sequences, plane.heads, width * plane.page_size, plane.dim)
    return map_through(w, cache, [rows.page_ids, rows.seq_lens], [plane.start], sizes, element_of)


def _element(cache: Tensor, plane: Plane, page: Scalar, head: Scalar, d: Scalar, slot: Scalar) -> Scalar:
    stored = cache[page, plane.at(head, d, slot)]
    if cache.element != "i8":
        return stored if cache.element == "f32" else stored.float
    at = plane.scale_at(head, d // plane.block, slot)
    bits, *others = (cache[page, at + byte].cast("arith.extui", "i32") for byte in range(4))
    for byte, other in enumerate(others, 1):
        bits = bits | other << 8 * byte
    return stored.cast("arith.extsi", "i32").float * bits.bits


def store(w: Writer, cache: Tensor, plane: Plane, rows: CallRows, x: Tensor) -> Tensor:
    """Writes x [rows, heads, dim] to the cache, which it returns; rows of padding are written to page 0."""
    if cache.element == "i8":
        return _store_codes(w, cache, plane, rows, x)
    if cache.element == "f32":
        return _scatter(w, cache, plane, rows, x, plane.at)
    halves = w.map(x.sizes, lambda *at: x[at].cast("arith.truncf", cache.element), cache.element)
    return _scatter(w, cache, plane, rows, halves, plane.at)


def _store_codes(w: Writer, cache: Tensor, plane: Plane, rows: CallRows, x: Tensor) -> Tensor:
    """Writes x as integers from -127 to 127 and a float32 scale for each block of them."""
    (count, heads, dim), block = x.sizes, plane.block
    blocks = plane.dim // block

    def size(row: Scalar, head: Scalar, b: Scalar, i: Scalar) -> Scalar:
        return x[row, head, b * block + i].math("absf")

    largest = w.largest((count, heads, blocks), block, size)

    def code(row: Scalar, head: Scalar, d: Scalar) -> Scalar:
        unit = largest[row, head, d // block].maximum(1e-30)
        return (x[row, head, d] * (unit.like(127.0) / unit)).math("roundeven").cast("arith.fptosi", "i8")

    def scale_byte(row: Scalar, head: Scalar, byte: Scalar) -> Scalar:
        bits = (largest[row, head, byte // 4] * (1.0 / 127.0)).bits
        return (bits >> (byte % 4 * 8).word).cast("arith.trunci", "i8")

    def scale_at(head: Scalar, byte: Scalar, slot: Scalar) -> Scalar:
        return plane.scale_at(head, byte // 4, slot) + byte % 4

    cache = _scatter(w, cache, plane, rows, w.map((count, heads, dim), code, "i8"), plane.at)
    return _scatter(w, cache, plane, rows, w.map((count, heads, 4 * blocks), scale_byte, "i8"), scale_at)


def _scatter(w: Writer, cache: Tensor, plane: Plane, rows: CallRows, x: Tensor, address: Address) -> Tensor:
    """Writes each x[row, head, i] to address(head, i, slot) of the row's page, in place.

    CallRows of padding may meet in page 0, whose elements mean nothing: all others are written once.
    """

    def index(row: Scalar, head: Scalar, i: Scalar, axis: Scalar) -> Scalar:
        sequence, position = rows.sequence(row), rows.position(row)
        valid = position.is_("ult", rows.seq_lens[sequence].index)
        slot = valid.choose(position, 0) // plane.page_size
        page = valid.choose(rows.page_ids[sequence, slot].index, 0)
        return axis.is_("eq", 0).choose(page, address(head, i, position % plane.page_size)).word

    where, element = w.map((*x.sizes, 2), index, "i32"), cache.element
    text = [
        "iree_linalg_ext.scatter dimension_map = [0, 1] unique_indices(true)",
        f"ins({x.name}, {where.name} : {x.type}, {where.type}) outs({cache.name} : {cache.type}) {{",
        f"^bb0(%new: {element}, %old: {element}):",
        f"iree_linalg_ext.yield %new : {element}",
        f"}} -> {cache.type}",
    ]
    return w.tensor("\n".join(text), cache.sizes, element)
