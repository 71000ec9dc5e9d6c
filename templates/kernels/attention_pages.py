"""The cache pages of a kv head: where its keys and values lie, and their prefetch."""

from sharkpack.formats.packing import CACHE_LINE
from sharkpack.templates.kernels.cache import CacheLayout, page_of
from sharkpack.templates.kernels.emitter import Emitter


class Pages:
    """The pages of layer `%layer` and kv head `%kv_head`, index values.

    prefetches: whether anything is prefetched; pages lie anywhere, and are too short for hardware to foresee the next.
    """

    def __init__(self, cache: CacheLayout, *, prefetches: bool) -> None:
        self.cache, self.prefetches = cache, prefetches

    def at(self, e: Emitter, sequence: str, position: str) -> str:
        """The page that holds a position of a sequence."""
        return page_of(e, sequence, position, self.cache.page_size)

    def after(self, e: Emitter, sequence: str, begin: str, past: str) -> str:
        """The page after the one that begins at a position, or that one if it holds the last position, past - 1."""
        last = e.op(f"arith.subi {past}, {e.index(1)} : index")
        return self.at(e, sequence, e.minimum(e.add(begin, self.cache.page_size), last))

    def keys(self, e: Emitter, page: str) -> str:
        """Returns where [key_head_dim][page_size] begin in a page."""
        return self.cache.key_head(e, page, "%layer", "%kv_head")

    def values(self, e: Emitter, page: str) -> str:
        """Returns where [page_size][value_head_dim] begin in a page."""
        return self.cache.value_head(e, page, "%layer", "%kv_head")

    def prefetch(self, e: Emitter, start: str, elements: int, level: int = 1) -> None:
        """Prefetch some elements into the cache of this level."""
        if self.prefetches:
            for offset in range(0, elements, CACHE_LINE // self.cache.item_bytes):
                e.prefetch("cache", e.add(start, offset), level)

    def prefetch_first(self, e: Emitter, sequence: str, begin: str) -> None:
        """Prefetch the page that begins at a position, which no page before it prefetches: its keys, and into the
        second level, as they are read later, its values."""
        size, page = self.cache.page_size, self.at(e, sequence, begin)
        keys, values = self.keys(e, page), self.values(e, page)
        for start, width, level in ((keys, self.cache.key_head_dim, 1), (values, self.cache.value_head_dim, 2)):
            self._prefetch_rows(e, start, width, size, level)

    def _prefetch_rows(self, e: Emitter, start: str, count: int, each: int, level: int) -> None:
        e.each("%origin", e.index(count), 1, lambda n: self.prefetch(e, e.add(start, e.mul(n, each)), each, level))
