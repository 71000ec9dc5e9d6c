"""Tensors as a quantisation will make them, before their importance is known: types, sizes and small contents."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.sources.model import SourceTensor
from sharkpack.formats.quant import dequantize
from sharkpack.formats.quantize import quantize, quantizer


@dataclass(frozen=True, slots=True)
class PlannedTensor:
    """`tensor` in another type: a TensorDescription and no SourceTensor, so that nothing can be packed of it.

    Vectors and tables, whose types nothing weighs, read as they will be; matrices as they would be unweighed.
    """

    tensor: SourceTensor = field(repr=False)
    type_name: str

    @property
    def name(self) -> str:
        return self.tensor.name

    @property
    def shape(self) -> tuple[int, ...]:
        return self.tensor.shape

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape[:-1]) * quantizer(self.type_name).row_bytes(self.shape[-1])

    def read(self) -> NDArray[np.uint8]:
        """uint8 [nbytes]"""
        rows = (math.prod(self.shape[:-1]), self.shape[-1])
        values = dequantize(self.tensor.type_name, self.tensor.read(), rows)
        return quantize(self.type_name, values).reshape(-1)
