"""Files that are a header and then tensors: planned whole before a byte is written, then streamed front to back."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Protocol

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.buffers import Bytes, as_bytes


class Writable(Protocol):
    """Protocol for the output of `write_tensors`: a file, or a member of an archive."""

    def write(self, data: bytes | memoryview, /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlace:
    """One tensor: its place in bytes from the start of the file."""

    name: str
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFilePlan:
    """The layout of a file to be written: `header` is all bytes before the first tensor."""

    header: bytes
    entries: tuple[TensorPlace, ...]
    total_size: int


def write_tensors(plan: TensorFilePlan, out: Writable, tensors: Iterable[tuple[str, Bytes]]) -> None:
    """Write `plan.total_size` bytes to `out`, front to back, taking one `(name, C-contiguous buffer)` at a time.

    A tensor may come in several buffers, one after the other. Raises SharkpackError if `tensors` does not yield exactly
    the planned names and sizes, in the planned order.
    """
    out.write(plan.header)
    position = len(plan.header)
    groups = groupby(tensors, key=itemgetter(0))
    for entry in plan.entries:
        name, pieces = next(groups, (None, ()))
        out.write(bytes(entry.offset - position))
        written = 0
        for _, data in pieces:
            view = as_bytes(data)
            written += view.nbytes
            if name != entry.name or written > entry.nbytes:
                break
            out.write(view)
        if name != entry.name or written != entry.nbytes:
            found = "nothing" if name is None else f"{name!r} of {written} bytes"
            raise SharkpackError(f"tensor {entry.name!r} of {entry.nbytes} bytes was planned, got {found}")
        position = entry.offset + entry.nbytes
    extra = next(groups, None)
    if extra is not None:
        raise SharkpackError(f"tensor {extra[0]!r} was not planned")
    out.write(bytes(plan.total_size - position))
