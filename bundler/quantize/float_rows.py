"""Rows of a source's tensor as numbers, whatever their type."""

import numpy as np

from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quant.block import Floats


def float_rows(tensor: SourceTensor, numbers: RowOrder) -> Floats:
    """float32 [rows, columns]: those rows of the tensor, as a matrix whose columns are its last dimension."""
    contiguous = len(numbers) == 1 or (np.diff(numbers) == 1).all()
    index = slice(int(numbers[0]), int(numbers[-1]) + 1) if contiguous else numbers
    return dequantize(tensor.type_name, tensor.rows(index).reshape(-1), (len(numbers), tensor.shape[-1]))
