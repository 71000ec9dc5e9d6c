"""The host's side of a call: arrays of tokens, lengths, positions and page ids that the program reads in place.

Allocated once at their largest; a call fills a prefix and passes a view of it.
"""

import math
from collections.abc import Sequence

import iree.runtime as rt
import numpy as np
import numpy.typing as npt

from sharkpack.runtime_shim.errors import RequestError
from sharkpack.runtime_shim.executor.protocol import SequenceChunk

Int64Array = npt.NDArray[np.int64]
Views = tuple[rt.HalBufferView, rt.HalBufferView, rt.HalBufferView, rt.HalBufferView]


class _Buffer:
    """An int64 buffer of the device that is also a numpy array here."""

    def __init__(self, allocator: rt.HalAllocator, elements: int) -> None:
        self._buffer = allocator.allocate_buffer(
            rt.MemoryType.DEVICE_LOCAL | rt.MemoryType.HOST_VISIBLE,
            rt.BufferUsage.DEFAULT | rt.BufferUsage.MAPPING,
            elements * 8,
        )
        self._mapping = self._buffer.map()
        self._array: Int64Array = self._mapping.asarray((elements,), np.dtype(np.int64))

    def shaped(self, *shape: int) -> tuple[Int64Array, rt.HalBufferView]:
        """The first elements as an array of `shape`, and the view that passes them to a function."""
        view = rt.HalBufferView(self._buffer, shape, rt.HalElementType.INT_64)
        return self._array[: math.prod(shape)].reshape(shape), view


class _Shape:
    """The arrays and views for `batch` rows of `width` tokens in up to `pages` pages."""

    def __init__(self, buffers: tuple[_Buffer, _Buffer, _Buffer, _Buffer], batch: int, width: int, pages: int) -> None:
        tokens, starts, lengths, page_ids = buffers
        self.tokens, tokens_view = tokens.shaped(batch, width)
        self.starts, starts_view = starts.shaped(batch)
        self.lengths, lengths_view = lengths.shaped(batch)
        self.page_ids, page_ids_view = page_ids.shaped(batch, pages)
        self.views: Views = (tokens_view, starts_view, lengths_view, page_ids_view)


class Arguments:
    """The four inputs that differ from call to call, for batches up to `rows`, `tokens` in all, `pages` a row."""

    def __init__(self, allocator: rt.HalAllocator, *, rows: int, tokens: int, pages: int) -> None:
        self._max_tokens = max(tokens, rows)
        self._max_pages = pages
        sizes = (self._max_tokens, rows, rows, rows * pages)
        tokens_buffer, starts, lengths, page_ids = (_Buffer(allocator, size) for size in sizes)
        self._buffers = (tokens_buffer, starts, lengths, page_ids)
        self._shapes: dict[tuple[int, int, int], _Shape] = {}
        self._written: tuple[int, int, list[list[int]]] | None = None

    def fill(self, rows: Sequence[SequenceChunk], batch: int) -> Views:
        """Write `rows` and pad to `batch`. Returns the views (tokens, start_positions, seq_lens, page_table), in the
        order of PREFILL_ROLES.

        Padding rows are one token 0 at position 0 of page 0; a row's padding tokens are 0.
        Raises SharkpackError for more tokens than there is room for.
        """
        width = max([len(row.tokens) for row in rows])
        if batch * width > self._max_tokens:
            raise RequestError(
                f"a call computes at most {self._max_tokens} tokens, padding included, and this is {batch * width}"
            )
        page_width = self._page_width(max([len(row.pages) for row in rows]))
        shape = self._shape(batch, width, page_width)
        if width > 1 or len(rows) < batch:
            shape.tokens.fill(0)
        for i, row in enumerate(rows):
            count = len(row.tokens)
            shape.tokens[i, :count] = row.tokens
            shape.starts[i] = row.start
            shape.lengths[i] = row.start + count
        if len(rows) < batch:
            shape.starts[len(rows) :] = 0
            shape.lengths[len(rows) :] = 1
        self._write_pages(shape.page_ids, rows)
        return shape.views

    def _write_pages(self, page_ids: Int64Array, rows: Sequence[SequenceChunk]) -> None:
        """Decoding, a sequence goes on in the same pages for as many tokens as a page holds."""
        batch, page_width = page_ids.shape
        wanted = [row.pages for row in rows]
        if self._written == (batch, page_width, wanted):
            return
        page_ids.fill(0)
        for i, pages in enumerate(wanted):
            page_ids[i, : len(pages)] = pages
        self._written = (batch, page_width, [list(pages) for pages in wanted])

    def _shape(self, batch: int, width: int, page_width: int) -> _Shape:
        known = self._shapes.get((batch, width, page_width))
        if known is None:
            if len(self._shapes) == 64:
                self._shapes.clear()
            known = self._shapes[batch, width, page_width] = _Shape(self._buffers, batch, width, page_width)
        return known

    def _page_width(self, pages: int) -> int:
        """A power of two: few shapes, and a program that gathers pages does not gather a whole context a token."""
        return min(max(4, 1 << (pages - 1).bit_length()), self._max_pages)
