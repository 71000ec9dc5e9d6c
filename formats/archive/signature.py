"""The program ABI: the only contract between whoever compiles a bundle's modules and whoever calls them."""

from dataclasses import dataclass

from sharkpack.formats.errors import BundleUnsupportedError
from sharkpack.formats.io.json_values import JsonObject

ABI_VERSION = 1

CACHE_ITEM_BYTES = {"f16": 2, "f32": 4, "i8": 1}
"""Of the element types that a cache may have."""


def key_block(key_head_dim: int) -> int:
    """Dimensions of a key that share a scale in an i8 cache: 32, or 16 where a head is no multiple of 32."""
    return 16 if key_head_dim % 32 else 32


def position_elements(dtype: str, key_head_dim: int, value_head_dim: int) -> int:
    """Cache elements of one position of one layer and kv head: key and value and, in an i8 cache, their f32 scales."""
    scales = key_head_dim // key_block(key_head_dim) + 1 if dtype == "i8" else 0
    return key_head_dim + value_head_dim + 4 * scales


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheInfo:
    """Shape of the paged cache: `[pages, page_elements]` of `dtype`; a page holds the K and V of all layers."""

    dtype: str
    page_elements: int
    layers: int
    kv_heads: int
    key_head_dim: int
    value_head_dim: int

    @property
    def page_bytes(self) -> int:
        return self.page_elements * CACHE_ITEM_BYTES[self.dtype]

    @classmethod
    def read(cls, node: JsonObject) -> "CacheInfo":
        return cls(
            dtype=node.text("dtype", choices=tuple(CACHE_ITEM_BYTES)),
            page_elements=node.integer("page_elements", minimum=1),
            layers=node.integer("layers", minimum=1),
            kv_heads=node.integer("kv_heads", minimum=1),
            key_head_dim=node.integer("key_head_dim", minimum=1),
            value_head_dim=node.integer("value_head_dim", minimum=1),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """All that a runtime needs to know to call any target's module. Lengths in tokens; docs/format.md has the calls."""

    version: int = ABI_VERSION
    module: str = "module"
    batch_sizes: tuple[int, ...]
    page_size: int
    context_length: int
    max_pages_per_sequence: int
    cache: CacheInfo
    vocab_size: int
    activations: str
    reserved_pages: int = 1

    @classmethod
    def read(cls, node: JsonObject) -> "Signature":
        """Raise SharkpackError for another ABI version, or values that contradict each other."""
        version = node.integer("version")
        if version != ABI_VERSION:
            raise BundleUnsupportedError(
                f"program ABI version {version}; this sharkpack calls version {ABI_VERSION}: "
                + ("upgrade sharkpack" if version > ABI_VERSION else "build the bundle again")
            )
        signature = cls(
            version=version,
            module=node.text("module"),
            batch_sizes=node.integers("batch_sizes", minimum=1, least=1),
            page_size=node.integer("page_size", minimum=1),
            context_length=node.integer("context_length", minimum=1),
            max_pages_per_sequence=node.integer("max_pages_per_sequence", minimum=1),
            cache=CacheInfo.read(node.child("cache")),
            vocab_size=node.integer("vocab_size", minimum=1),
            activations=node.text("activations", choices=("int8", "float32")),
            reserved_pages=node.integer("reserved_pages", minimum=1),
        )
        signature._check(node)
        return signature

    def _check(self, node: JsonObject) -> None:
        if list(self.batch_sizes) != sorted(set(self.batch_sizes)):
            node.fail("batch_sizes", f"{list(self.batch_sizes)} is not strictly ascending")
        pages = -(-self.context_length // self.page_size)
        if self.max_pages_per_sequence != pages:
            node.fail("max_pages_per_sequence", f"{self.max_pages_per_sequence}; context and page size make it {pages}")
        cache = self.cache
        each = position_elements(cache.dtype, cache.key_head_dim, cache.value_head_dim)
        elements = cache.layers * cache.kv_heads * self.page_size * each
        if cache.page_elements != elements:
            node.child("cache").fail(
                "page_elements", f"{cache.page_elements}; layers, heads and page size make it {elements}"
            )
