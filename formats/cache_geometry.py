"""The geometry of a paged cache of keys and values: the one declaration that kernels, traces, manifests and the
reference take sizes and places from.

A page holds, for each layer: the keys of each kv head as [key_head_dim][page_size] (so that the scores of 16 positions
are one vector), then the values of each kv head as [page_size][value_head_dim]. Elements are f16, f32 or i8: then a
head's keys are followed by f32 scales [key_head_dim / key_block][page_size], its values by [page_size].
"""

from dataclasses import dataclass
from typing import Literal

CacheDtype = Literal["f16", "f32", "i8"]

CACHE_ITEM_BYTES = {"f16": 2, "f32": 4, "i8": 1}
"""Of the element types that a cache of keys and values may have."""

SCALE_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheGeometry:
    """A cache [pages, page_elements] of `dtype`, a page being `page_size` positions of all layers."""

    dtype: CacheDtype
    page_size: int
    layers: int
    kv_heads: int
    key_head_dim: int
    value_head_dim: int

    @property
    def has_scales(self) -> bool:
        return self.dtype == "i8"

    @property
    def key_block(self) -> int:
        """Dimensions of a key that share a scale: 32, or 16 where a head is no multiple of 32."""
        return 16 if self.key_head_dim % 32 else 32

    @property
    def key_elements(self) -> int:
        """The number of elements of one head in one page, with its scales."""
        return self.page_size * self.key_head_dim + self._scales(self.key_head_dim // self.key_block)

    @property
    def value_elements(self) -> int:
        """The number of elements of one head in one page, with its scales."""
        return self.page_size * self.value_head_dim + self._scales(1)

    @property
    def layer_elements(self) -> int:
        return self.kv_heads * (self.key_elements + self.value_elements)

    @property
    def page_elements(self) -> int:
        return self.layers * self.layer_elements

    @property
    def item_bytes(self) -> int:
        return CACHE_ITEM_BYTES[self.dtype]

    def _scales(self, each: int) -> int:
        """Elements that `each` scales of a position's key or value take."""
        return SCALE_BYTES * each * self.page_size // self.item_bytes if self.has_scales else 0
