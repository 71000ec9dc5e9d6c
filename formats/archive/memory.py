"""Memory that a bundle's program keeps between calls, as the signature declares it: pages of positions, or slots."""

import re
from dataclasses import dataclass
from math import prod
from typing import Annotated

from sharkpack.formats.archive.manifest_object import Key, ManifestObject, refuse
from sharkpack.formats.cache_geometry import CacheGeometry

PAGES, SLOTS = "pages", "slots"
_SCALE_BITS = 32


def element_bits(dtype: str) -> int | None:
    """Bits of an element type by IREE's name of it, as `f16`, `i8` or `f8E4M3FN`; None where the name has none."""
    digits = re.match(r"[a-z]+([1-9][0-9]{0,3})", dtype)
    return int(digits[1]) if digits else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(ManifestObject):
    """Memory of a kind that this version does not know."""

    name: Annotated[str, Key("What arguments call it.")]
    kind: Annotated[str, Key("`pages` or `slots`.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane(ManifestObject):
    """One tensor of a page's entry: for each head `[dim][page_size]` or `[page_size][dim]`, and its scales."""

    name: Annotated[str, Key("`key`, `value`, or the module's own name.")]
    heads: Annotated[int, Key("How often it stands there.", minimum=1)]
    dim: Annotated[int, Key("Elements of a head at a position.", minimum=1)]
    order: Annotated[
        str, Key("Outer dimension of a head: its own, `dim`, or the `position`.", choices=("dim", "position"))
    ]
    scale_block: Annotated[int | None, Key("Elements of a position that share an f32 scale.", minimum=1)] = None

    def check(self) -> None:
        if self.scale_block is not None and self.dim % self.scale_block:
            refuse("scale_block", f"{self.scale_block} does not divide the dimension {self.dim}")

    def elements(self, bits: int) -> int:
        """Elements of `bits` bits that a position has."""
        scales = 0 if self.scale_block is None else self.dim // self.scale_block
        return self.heads * (self.dim + scales * _SCALE_BITS // bits)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEntry(ManifestObject):
    """Tensors that a page has of one layer, or of whatever else keeps something for a position; `count` in a row."""

    count: Annotated[int, Key("How many follow one another.", minimum=1)] = 1
    planes: Annotated[tuple[Plane, ...], Key("Its tensors, in the order of the page.", least=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PagePool(Memory):
    """Pages `[pages, page_elements]` of `dtype`, each for `page_size` positions of a sequence.

    reserved: pages at the beginning that belong to no sequence. window: how far back positions are read, None for all.
    """

    kind: Annotated[str, Key("Pages of positions.", choices=(PAGES,), required=True)] = PAGES
    dtype: Annotated[str, Key("IREE's name of the element type.")]
    page_size: Annotated[int, Key("Positions that a page holds.", minimum=1)]
    page_elements: Annotated[int, Key("Elements of a page.", minimum=1)]
    reserved: Annotated[int, Key("Pages at the beginning that belong to no sequence.", minimum=1, required=True)] = 1
    window: Annotated[int | None, Key("Positions further back are not read.", minimum=1)] = None
    entries: Annotated[
        tuple[PageEntry, ...], Key("What is in a page; empty where that is the module's own business.")
    ] = ()

    def check(self) -> None:
        bits = element_bits(self.dtype)
        if not self.entries or bits is None:
            return
        elements = self.page_size * sum(
            entry.count * sum(plane.elements(bits) for plane in entry.planes) for entry in self.entries
        )
        if self.page_elements != elements:
            refuse("page_elements", f"{self.page_elements}; its planes and page size make it {elements}")

    @property
    def page_bytes(self) -> int:
        """Bytes of a page, of an element type whose name says its bits."""
        return self.page_elements * (element_bits(self.dtype) or 0) // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotTensor(ManifestObject):
    """One buffer `[slots, elements]` of the state of sequences."""

    name: Annotated[str, Key("The module's name for it.")]
    dtype: Annotated[str, Key("IREE's name of the element type.")]
    shape: Annotated[tuple[int, ...], Key("Sizes of a slot's part.", minimum=1)]

    @property
    def elements(self) -> int:
        return prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots(Memory):
    """State of a fixed size for each sequence.

    reserved: slots at the beginning that belong to no sequence. rollback: how many positions before the end of what a
    slot has seen a call may begin.
    """

    kind: Annotated[str, Key("State of a fixed size for each sequence.", choices=(SLOTS,), required=True)] = SLOTS
    reserved: Annotated[int, Key("Slots at the beginning that belong to no sequence.", minimum=1, required=True)] = 1
    rollback: Annotated[int, Key("Positions that a call may go back.")] = 0
    tensors: Annotated[tuple[SlotTensor, ...], Key("Its buffers.", least=1)]


Memory.variants = {PAGES: PagePool, SLOTS: Slots}


def attention_pool(name: str, geometry: CacheGeometry) -> PagePool:
    """The pool of a cache of keys, transposed, and values."""
    planes = (
        Plane(
            name="key",
            heads=geometry.kv_heads,
            dim=geometry.key_head_dim,
            order="dim",
            scale_block=geometry.key_block if geometry.has_scales else None,
        ),
        Plane(
            name="value",
            heads=geometry.kv_heads,
            dim=geometry.value_head_dim,
            order="position",
            scale_block=geometry.value_head_dim if geometry.has_scales else None,
        ),
    )
    return PagePool(
        name=name,
        dtype=geometry.dtype,
        page_size=geometry.page_size,
        page_elements=geometry.page_elements,
        entries=(PageEntry(count=geometry.layers, planes=planes),),
    )
