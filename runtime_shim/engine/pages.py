"""The pages of the key/value cache: which are free. Knows numbers only, not what is in them."""

from collections.abc import Iterable

from sharkpack.runtime_shim.errors import CacheFullError


class PagePool:
    """Hands out page numbers in [reserved, pages); the first `reserved` are the programs' scratch."""

    def __init__(self, pages: int, *, reserved: int = 1) -> None:
        if pages <= reserved:
            raise CacheFullError(f"a cache of {pages} pages has none to use: {reserved} is reserved, so give it more")
        self.pages = pages
        self.capacity = pages - reserved
        # Pages that were never used follow one another: a large pool costs nothing until it is used.
        self._unused = reserved
        self._released: list[int] = []
        self._taken: set[int] = set()

    @property
    def available(self) -> int:
        """The number of free pages."""
        return self.capacity - len(self._taken)

    def allocate(self, count: int) -> list[int]:
        """Take `count` pages. Raises SharkpackError, and takes none, when fewer are free."""
        if count > self.available:
            raise CacheFullError(
                f"the cache is full: {count} pages were asked for and {self.available} of {self.capacity} are free"
            )
        pages = [self._next() for _ in range(count)]
        self._taken.update(pages)
        return pages

    def release(self, pages: Iterable[int]) -> None:
        """Give pages back. Raises ValueError for one that was not taken: a mistake of the caller's."""
        for page in pages:
            if page not in self._taken:
                raise ValueError(f"page {page} is not in use")
            self._taken.remove(page)
            self._released.append(page)

    def _next(self) -> int:
        if self._released:
            return self._released.pop()  # memory that was touched before costs nothing to touch again
        self._unused += 1
        return self._unused - 1
