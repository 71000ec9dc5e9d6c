"""Source tensors -> the parameter file's bytes, a slab of rows in memory at a time."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.background import prefetch
from sharkpack.bundler.model_spec import ModelSpec
from sharkpack.bundler.progress import Advance
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.model_files.tensor_file import TensorFilePlan, Writable, write_tensors
from sharkpack.formats.packing import LAYOUTS, ReadRows, RowOrder, pack_rows
from sharkpack.formats.packing.finite import is_finite
from sharkpack.formats.quant import dequantize
from sharkpack.templates.layers.weights import PackedWeight, StoredWeight, TableWeight, VectorWeight, Weight

PREFETCHED_PIECES = 8
PIECE_BYTES = 1 << 20


def write_parameters(plan: TensorFilePlan, out: Writable, model: ModelSpec, source: SourceModel, done: Advance) -> None:
    """Write the planned parameter file to `out`; `done` advances by its bytes.

    Tensors are packed in a thread of their own while what came before them is hashed and written.
    """

    def tensors() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for weight in model.weights.values():
            for piece in pieces(weight, source):
                yield weight.name, piece
                done.advance(piece.nbytes)
            if not isinstance(weight, TableWeight):
                source.tensor(weight.tensor).release()

    with closing(prefetch(tensors(), PREFETCHED_PIECES)) as made:
        write_tensors(plan, out, made)


def convert(weight: Weight, source: SourceModel) -> NDArray[np.uint8]:
    """The bytes of one parameter as the program wants them, uint8 [weight.nbytes]."""
    return np.concatenate(list(pieces(weight, source)))


def pieces(weight: Weight, source: SourceModel) -> Iterator[NDArray[np.uint8]]:
    """The same bytes in consecutive pieces, of a megabyte or so where the parameter is a matrix.

    SharkpackError for a weight that holds a NaN or an infinity; what a program stores is its own affair.
    """
    if isinstance(weight, TableWeight):
        yield np.ascontiguousarray(weight.values).reshape(-1).view(np.uint8)
        return
    tensor = source.tensor(weight.tensor)
    if isinstance(weight, StoredWeight):
        yield from _cut(tensor.read())
        return
    if isinstance(weight, PackedWeight):
        layout = LAYOUTS[weight.layout]
        for piece in pack_rows(layout, _rows_from(tensor, weight.first_row), weight.shape, weight.row_order):
            if not is_finite(layout, piece, weight.shape[1]):
                raise _not_finite(weight, source)
            yield piece
        return
    values = dequantize(tensor.type_name, tensor.read(), tensor.shape).reshape(-1)
    if not np.isfinite(values).all():
        raise _not_finite(weight, source)
    if weight.row_order is not None:
        values = values[weight.row_order]
    yield np.ascontiguousarray(values, dtype=np.float32).view(np.uint8)


def _not_finite(weight: PackedWeight | VectorWeight, source: SourceModel) -> SharkpackError:
    name = one_line(source.stored_name(weight.tensor))
    return SharkpackError(f"{source.path}: tensor '{name}' holds a NaN or an infinity; get the model again, or another")


def _cut(data: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def _rows_from(tensor: SourceTensor, first: int) -> ReadRows:
    """Its rows as those of a matrix that begins at row `first`."""

    def read(index: slice | RowOrder) -> NDArray[np.uint8]:
        moved = slice(index.start + first, index.stop + first) if isinstance(index, slice) else index + first
        return tensor.rows(moved)

    return read if first else tensor.rows
