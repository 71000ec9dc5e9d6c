"""Source tensors -> the parameter file's bytes, one tensor in memory at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.options import Advance
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.irpa import IrpaPlan, Writable, write_irpa
from sharkpack.formats.packing import LAYOUTS, pack
from sharkpack.formats.quant import dequantize
from sharkpack.templates.recipe import CausalModel, PackedWeight, TableWeight, Weight


def write_parameters(plan: IrpaPlan, out: Writable, model: CausalModel, source: SourceModel, done: Advance) -> None:
    """Write the planned parameter file to `out`; `done` advances by the bytes of each tensor."""

    def tensors() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for weight in model.weights.values():
            yield weight.name, convert(weight, source)
            if not isinstance(weight, TableWeight):
                source.tensor(weight.name).release()
            done.advance(weight.nbytes)

    write_irpa(plan, out, tensors())


def convert(weight: Weight, source: SourceModel) -> NDArray[np.uint8]:
    """The bytes of one parameter as the program wants them, uint8 [weight.nbytes]."""
    if isinstance(weight, TableWeight):
        return np.ascontiguousarray(weight.values).reshape(-1).view(np.uint8)
    tensor = source.tensor(weight.name)
    if isinstance(weight, PackedWeight):
        return pack(LAYOUTS[weight.layout], tensor.read(), weight.shape, weight.row_order)
    values = dequantize(tensor.type_name, tensor.read(), tensor.shape).reshape(-1)
    if weight.row_order is not None:
        values = values[weight.row_order]
    return np.ascontiguousarray(values, dtype=np.float32).view(np.uint8)
