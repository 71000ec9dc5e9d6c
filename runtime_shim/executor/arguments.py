"""The host's side of a call: arrays of tokens, lengths, positions and page ids that the program reads in place.

Allocated once at their largest; a call fills a prefix and passes a view of it.
"""

import math
from collections.abc import Sequence

import iree.runtime as rt
import numpy as np

from sharkpack.formats.padded_batch import Int64Array, PaddedBatch
from sharkpack.runtime_shim.errors import RequestError
from sharkpack.runtime_shim.executor.protocol import SequenceChunk

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
        shapes = (batch, width), (batch,), (batch,), (batch, pages)
        shaped = [buffer.shaped(*shape) for buffer, shape in zip(buffers, shapes, strict=True)]
        self.batch = PaddedBatch(*(array for array, _ in shaped))
        tokens, starts, lengths, page_table = (view for _, view in shaped)
        self.views: Views = (tokens, starts, lengths, page_table)


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

        Raises SharkpackError for more tokens than there is room for.
        """
        width = max([len(row.tokens) for row in rows])
        if batch * width > self._max_tokens:
            raise RequestError(
                f"a call computes at most {self._max_tokens} tokens, padding included, and this is {batch * width}"
            )
        page_width = self._page_width(max([len(row.pages) for row in rows]))
        shape = self._shape(batch, width, page_width)
        shape.batch.write_tokens(rows)
        self._write_pages(shape.batch, rows)
        return shape.views

    def _write_pages(self, batch: PaddedBatch, rows: Sequence[SequenceChunk]) -> None:
        """Decoding, a sequence goes on in the same pages for as many tokens as a page holds."""
        size, page_width = batch.page_table.shape
        wanted = [row.pages for row in rows]
        if self._written != (size, page_width, wanted):
            batch.write_pages(rows)
            self._written = (size, page_width, [list(pages) for pages in wanted])

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
