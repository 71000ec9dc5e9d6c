"""8-bit float weights and their scales: one for the tensor, one a row, or one a block of rows and columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sharkpack.bundler.sources.huggingface.derived import Floats
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.safetensors_file import SafetensorsFile
from sharkpack.formats.model_files.safetensors_index import SafetensorsTensor
from sharkpack.formats.quant.float8 import FLOAT8_VALUES, float8_values
from sharkpack.formats.quant.types import float_values

SUFFIXES = ("weight_scale_inv", "weight_scale")
"""Both multiply: the first is the inverse of what the weights were multiplied by."""

UNUSED = ("input_scale", "activation_scale", "input_scale_ub", "k_scale", "v_scale")
"""Scales of activations and caches, which are not rounded to 8-bit floats here."""

Block = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """`values` [down, across]: each multiplies a block of `block` rows and columns; the last ones may be cut short."""

    values: Floats
    block: Block

    def spread(self, rows: npt.NDArray[np.int64], width: int) -> Floats:
        """Returns the factors of those rows of the matrix, [rows, width]."""
        return self.values[rows // self.block[0]][:, np.arange(width) // self.block[1]]


def is_scale(kind: str) -> bool:
    """Returns whether the last word of a tensor's name says that it is not a weight but a scale."""
    return kind in SUFFIXES or kind in UNUSED


def declared_block(config: Metadata) -> Block | None:
    """Rows and columns that share a scale, where the config says so; SharkpackError for weights that are quantised in
    another way than to 8-bit floats."""
    quantization: Any = config.values.get("quantization_config")
    if quantization is None:
        return None
    how = quantization if isinstance(quantization, dict) else {}
    method = how.get("quant_method")
    if method not in ("fp8", "fbgemm_fp8") and (method, how.get("format")) != ("compressed-tensors", "float-quantized"):
        raise SharkpackError(
            f"{config.path}: the weights are quantised by {method!r}; supported: none, and 8-bit floats ('fp8'). "
            "Take the unquantised checkpoint, or a GGUF file"
        )
    block = how.get("weight_block_size")
    if block is None:
        return None
    if not isinstance(block, list) or len(block) != 2 or any(type(n) is not int or n < 1 for n in block):
        raise SharkpackError(f"{config.path}: 'weight_block_size' is {block!r}; expected two sizes")
    return block[0], block[1]


def scale_of(weight: SafetensorsTensor, places: Mapping[str, SafetensorsFile], block: Block | None) -> Scale:
    """The scale of a stored weight. Raises SharkpackError when there is none, or its shape or dtype makes no sense."""
    module = weight.name.rpartition(".")[0]
    name = next((f"{module}.{suffix}" for suffix in SUFFIXES if f"{module}.{suffix}" in places), None)
    if name is None:
        raise SharkpackError(
            f"tensor '{weight.name}' is {weight.dtype} without a scale; expected '{module}.{SUFFIXES[0]}' beside it"
        )
    stored = places[name].tensors[name]
    values = _read(stored, places[name].raw(name))
    grid = stored.shape if len(stored.shape) == 2 else (values.size, 1)
    for sizes in (block, _even(weight.shape, grid)):
        if sizes and grid == tuple(-(-n // each) for n, each in zip(weight.shape, sizes, strict=True)):
            return Scale(values=values.reshape(grid), block=sizes)
    raise SharkpackError(f"tensor '{name}' of shape {list(stored.shape)} cannot scale one of {list(weight.shape)}")


def _read(stored: SafetensorsTensor, raw: npt.NDArray[np.uint8]) -> Floats:
    if stored.dtype in FLOAT8_VALUES:
        return float8_values(stored.dtype, raw)
    if stored.dtype in ("F32", "F16", "BF16"):
        return float_values(stored.dtype, raw)
    raise SharkpackError(f"tensor '{stored.name}' has dtype {stored.dtype}; a scale is F32, F16, BF16 or F8_E8M0")


def _even(shape: tuple[int, ...], grid: tuple[int, ...]) -> Block | None:
    """The block of a grid that divides a matrix evenly."""
    if len(shape) != 2 or any(not each or n % each for n, each in zip(shape, grid, strict=True)):
        return None
    return shape[0] // grid[0], shape[1] // grid[1]
