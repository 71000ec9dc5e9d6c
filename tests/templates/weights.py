"""Random quantised matrices, as a source stores them and as kernels take them: what the kernel tests share."""

from dataclasses import dataclass

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from sharkpack.formats.packing import LAYOUTS, pack
from sharkpack.formats.quant import dequantize
from tests.random_blocks import random_blocks


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """`packed` is the int8 stream that kernels read; `values` [n, k] float64 comes from the source's blocks instead."""

    packed: NDArray[np.int8]
    values: NDArray[np.float64]

    @property
    def tensor(self) -> torch.Tensor:
        return torch.from_numpy(self.packed)


def random_matrix(layout_name: str, n: int, k: int, seed: int = 0) -> Matrix:
    """An [n, k] matrix of about unit variance in that layout: every code, scale and minimum occurs."""
    layout, random = LAYOUTS[layout_name], np.random.default_rng(seed)
    if layout.kind == "superblock" or layout.values is not None:
        raw = random_blocks(layout.quant.name, (n, k), 1.0, random)
    else:
        values = random.standard_normal((n, k)).astype(np.float32)
        if layout.name == "f16":
            raw = values.astype(np.float16).view(np.uint8)
        elif layout.name == "f32":
            raw = values.view(np.uint8)
        else:
            raw = gguf.quants.quantize(values, gguf.GGMLQuantizationType[layout.quant.name])
    return matrix_of(layout_name, np.ascontiguousarray(raw).view(np.uint8).reshape(-1), n, k)


def matrix_of(layout_name: str, raw: NDArray[np.uint8], n: int, k: int) -> Matrix:
    """The matrix that a source stores as the blocks `raw`."""
    layout = LAYOUTS[layout_name]
    return Matrix(
        packed=pack(layout, raw, (n, k)).view(np.int8),
        values=dequantize(layout.quant.name, raw, (n, k)).astype(np.float64),
    )


def error(found: NDArray[np.floating] | torch.Tensor, wanted: NDArray[np.floating] | torch.Tensor) -> float:
    """Largest difference, relative to the largest value wanted; NaN or infinity in `found` is an infinite error."""
    a, b = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert a.shape == b.shape, f"shape {a.shape}, wanted {b.shape}"
    if not np.isfinite(a).all():
        return np.inf
    return float(np.abs(a - b).max() / np.abs(b).max())
