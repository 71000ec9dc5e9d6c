"""The pages of the key/value cache: which are free. Knows numbers only, not what is in them."""

from collections.abc import Iterable

from sharkpack.formats.errors import SharkpackError


class PagePool:
    """Hands out page numbers in [reserved, pages); the first `reserved` are the programs' scratch."""

    def __init__(self, pages: int, *, reserved: int = 1) -> None:
        if pages <= reserved:
            raise SharkpackError(f"a cache of {pages} pages has none to use: {reserved} is reserved, so ask for more")
        self.pages = pages
        self.capacity = pages - reserved
        self._reserved = reserved
        # Released pages are taken first: memory that was touched before costs nothing to touch again.
        self._free = list(range(pages - 1, reserved - 1, -1))
        self._taken = bytearray(pages)

    @property
    def available(self) -> int:
        """How many pages are free."""
        return len(self._free)

    def allocate(self, count: int) -> list[int]:
        """Take `count` pages. Raises SharkpackError, and takes none, when fewer are free."""
        if count > len(self._free):
            raise SharkpackError(
                f"the cache is full: {count} pages were asked for and {len(self._free)} of {self.capacity} are free"
            )
        pages = [self._free.pop() for _ in range(count)]
        for page in pages:
            self._taken[page] = 1
        return pages

    def release(self, pages: Iterable[int]) -> None:
        """Give pages back. Raises ValueError for one that was not taken: a mistake of the caller's."""
        for page in pages:
            if not (self._reserved <= page < self.pages and self._taken[page]):
                raise ValueError(f"page {page} is not in use")
            self._taken[page] = 0
            self._free.append(page)
