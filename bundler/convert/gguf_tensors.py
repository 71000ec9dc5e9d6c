"""A source's tensors as GGUF files have them: vectors in float32, heads rotated the way ggml rotates them."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.sources.model import SourceDescription, SourceModel, SourceTensor, TensorDescription
from sharkpack.formats.model_files.gguf_writer import TensorSpec
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quant.block import Bytes

# Whose pairs of rotated rows are neighbours in ggml, and halves of a head in a checkpoint.
ROTATING_NEIGHBOURS = frozenset({"llama", "granite", "granitemoe"})
_ROTATED = {"attn_q": "head_count", "attn_k": "head_count_kv"}


def gguf_tensors(source: SourceModel) -> list[SourceTensor]:
    """Every tensor of `source`, in its order."""
    reorders = not source.ggml_row_order and source.architecture in ROTATING_NEIGHBOURS
    tensors = [_in_float32(tensor) if _is_small(tensor) else tensor for tensor in source.tensors.values()]
    return [_rotated(tensor, source) if reorders else tensor for tensor in tensors]


def gguf_specs(source: SourceDescription) -> list[TensorSpec]:
    """The names, shapes and types that `gguf_tensors` will have."""
    return [
        TensorSpec(name=each.name, shape=each.shape, type_name="F32" if _is_small(each) else each.type_name)
        for each in source.tensors.values()
    ]


def _is_small(tensor: TensorDescription) -> bool:
    """Vectors, and what steers experts: ggml wants them in float32, other than the matrices."""
    return tensor.type_name in ("F16", "BF16") and (len(tensor.shape) == 1 or "_gate_inp" in tensor.name)


def _in_float32(tensor: SourceTensor) -> SourceTensor:
    def read_rows(index: slice | RowOrder) -> Bytes:
        raw = tensor.rows(index)
        values = dequantize(tensor.type_name, raw.reshape(-1), (len(raw), tensor.shape[-1]))
        return np.ascontiguousarray(values, "<f4").view(np.uint8)

    return replace(
        tensor,
        type_name="F32",
        nbytes=4 * math.prod(tensor.shape),
        read=lambda: read_rows(slice(None)).reshape(-1),
        read_rows=read_rows,
    )


def _rotated(tensor: SourceTensor, source: SourceModel) -> SourceTensor:
    """The rows (or the elements of a bias) of q and k in ggml's order."""
    part = tensor.name.split(".")[-2]
    if part not in _ROTATED:
        return tensor
    heads = source.integer("attention.head_count")
    heads = source.integer(f"attention.{_ROTATED[part]}", heads)
    size = tensor.shape[0] // heads
    order = halves_to_neighbours(heads, size, source.integer("rope.dimension_count", size))
    if len(tensor.shape) == 1:
        values = partial(_elements, tensor, order)
        return replace(tensor, read=values, read_rows=lambda index: values().reshape(1, -1)[index])
    rows = partial(_rows, tensor, order)
    return replace(tensor, read=lambda: rows(slice(None)).reshape(-1), read_rows=rows)


def _rows(tensor: SourceTensor, order: RowOrder, index: slice | RowOrder) -> Bytes:
    return tensor.rows(order[index])


def _elements(tensor: SourceTensor, order: RowOrder) -> Bytes:
    return tensor.read().reshape(len(order), -1)[order].reshape(-1)


def halves_to_neighbours(heads: int, head_dim: int, rope_dim: int) -> NDArray[np.int64]:
    """Row order that turns heads whose rotation pairs rows (i, i + rope_dim / 2) into heads that pair (2i, 2i + 1)."""
    head = np.arange(head_dim)
    head[:rope_dim] = np.arange(rope_dim).reshape(2, rope_dim // 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * head_dim + head).reshape(-1).astype(np.int64)
