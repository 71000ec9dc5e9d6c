"""A source's tensors as GGUF files have them: vectors in float32, heads rotated the way ggml rotates them."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.sources.model import SourceDescription, SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor, TensorDescription, TensorMadeByRows, float32_bytes
from sharkpack.formats.model_files.gguf_writer import TensorSpec
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quant.block import Bytes

# Whose pairs of rotated rows are neighbours in ggml, and halves of a head in a checkpoint.
ROTATING_NEIGHBOURS = frozenset({"llama", "granite", "granitemoe"})
_ROTATED = {"attn_q": "head_count", "attn_k": "head_count_kv"}


@dataclass(frozen=True, slots=True)
class Float32Tensor(TensorMadeByRows):
    """`tensor` in float32."""

    tensor: SourceTensor = field(repr=False)

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def type_name(self) -> str:
        return "F32"

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)

    def rows(self, index: slice | RowOrder) -> Bytes:
        raw = self.tensor.rows(index)
        return float32_bytes(dequantize(self.tensor.type_name, raw.reshape(-1), (len(raw), self.shape[-1])))

    def release(self) -> None:
        self.tensor.release()


@dataclass(frozen=True, slots=True)
class ReorderedTensor(TensorMadeByRows):
    """`tensor` with its rows, or the elements of a vector, in another order."""

    tensor: SourceTensor = field(repr=False)
    order: RowOrder = field(repr=False)

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def type_name(self) -> str:
        return self.tensor.type_name

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes

    def rows(self, index: slice | RowOrder) -> Bytes:
        if len(self.shape) > 1:
            return self.tensor.rows(self.order[index])
        elements = self.tensor.read().reshape(len(self.order), -1)[self.order]
        return elements.reshape(1, -1)[index]

    def release(self) -> None:
        self.tensor.release()


def gguf_tensors(source: SourceModel) -> list[SourceTensor]:
    """Every tensor of `source`, in its order."""
    reorders = not source.ggml_row_order and source.architecture in ROTATING_NEIGHBOURS
    tensors = [Float32Tensor(tensor) if _is_small(tensor) else tensor for tensor in source.tensors.values()]
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


def _rotated(tensor: SourceTensor, source: SourceModel) -> SourceTensor:
    """The rows (or the elements of a bias) of q and k in ggml's order."""
    part = tensor.name.split(".")[-2]
    if part not in _ROTATED:
        return tensor
    heads = source.integer("attention.head_count")
    heads = source.integer(f"attention.{_ROTATED[part]}", heads)
    size = tensor.shape[0] // heads
    order = halves_to_neighbours(heads, size, source.integer("rope.dimension_count", size))
    return ReorderedTensor(tensor, order)


def halves_to_neighbours(heads: int, head_dim: int, rope_dim: int) -> NDArray[np.int64]:
    """Row order that turns heads whose rotation pairs rows (i, i + rope_dim / 2) into heads that pair (2i, 2i + 1)."""
    head = np.arange(head_dim)
    head[:rope_dim] = np.arange(rope_dim).reshape(2, rope_dim // 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * head_dim + head).reshape(-1).astype(np.int64)
