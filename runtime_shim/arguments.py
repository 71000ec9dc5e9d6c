"""The host's side of a call: arrays of tokens, lengths, positions and page ids that the program reads in place.

Allocated once at their largest; a call fills a prefix and passes a view of it.
"""

from typing import NamedTuple

import iree.runtime as rt
import numpy as np
import numpy.typing as npt

from sharkpack.formats.errors import SharkpackError

Int64Array = npt.NDArray[np.int64]


class Row(NamedTuple):
    """One sequence's part in a call: its new tokens, the position of the first, and all its pages so far."""

    tokens: list[int]
    start: int
    pages: list[int]


class _Buffer:
    """An int64 buffer of the device that is also a numpy array here; views and arrays are kept by shape."""

    def __init__(self, allocator: rt.HalAllocator, elements: int) -> None:
        self._buffer = allocator.allocate_buffer(
            rt.MemoryType.DEVICE_LOCAL | rt.MemoryType.HOST_VISIBLE,
            rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
            elements * 8,
        )
        self._mapping = self._buffer.map()
        self._array: Int64Array = self._mapping.asarray((elements,), np.dtype(np.int64))
        self._recent: dict[tuple[int, ...], tuple[Int64Array, rt.HalBufferView]] = {}

    def shaped(self, *shape: int) -> tuple[Int64Array, rt.HalBufferView]:
        """The first elements as an array of `shape`, and the view that passes them to a function."""
        known = self._recent.get(shape)
        if known is None:
            if len(self._recent) == 64:
                self._recent.clear()
            count = int(np.prod(shape))
            view = rt.HalBufferView(self._buffer, shape, rt.HalElementType.INT_64)
            known = self._recent[shape] = (self._array[:count].reshape(shape), view)
        return known


class Arguments:
    """The four inputs that differ from call to call, for batches up to `rows`, `tokens` in all, `pages` a row."""

    def __init__(self, allocator: rt.HalAllocator, *, rows: int, tokens: int, pages: int) -> None:
        self._max_tokens = max(tokens, rows)
        self._max_pages = pages
        self._tokens = _Buffer(allocator, self._max_tokens)
        self._starts = _Buffer(allocator, rows)
        self._lengths = _Buffer(allocator, rows)
        self._pages = _Buffer(allocator, rows * pages)

    def fill(
        self, rows: list[Row], batch: int
    ) -> tuple[rt.HalBufferView, rt.HalBufferView, rt.HalBufferView, rt.HalBufferView]:
        """Write `rows` and pad to `batch`. Returns the views (tokens, start_positions, seq_lens, page_ids).

        Padding rows are one token 0 at position 0 of page 0; a row's padding tokens are 0.
        Raises SharkpackError for more tokens than there is room for.
        """
        width = max(len(row.tokens) for row in rows)
        if batch * width > self._max_tokens:
            raise SharkpackError(
                f"a call computes at most {self._max_tokens} tokens, padding included, and this is {batch * width}"
            )
        page_width = self._page_width(max(len(row.pages) for row in rows))
        tokens, tokens_view = self._tokens.shaped(batch, width)
        starts, starts_view = self._starts.shaped(batch)
        lengths, lengths_view = self._lengths.shaped(batch)
        pages, pages_view = self._pages.shaped(batch, page_width)
        tokens.fill(0)
        pages.fill(0)
        for i, row in enumerate(rows):
            tokens[i, : len(row.tokens)] = row.tokens
            starts[i] = row.start
            lengths[i] = row.start + len(row.tokens)
            pages[i, : len(row.pages)] = row.pages
        starts[len(rows) :] = 0
        lengths[len(rows) :] = 1
        return tokens_view, starts_view, lengths_view, pages_view

    def _page_width(self, pages: int) -> int:
        """A power of two: few shapes, and a program that gathers pages does not gather a whole context a token."""
        return min(max(4, 1 << (pages - 1).bit_length()), self._max_pages)
