"""How far quantised tensors are from what they were, gathered while they are made."""

from dataclasses import dataclass

import numpy as np

from sharkpack.formats.quant.block import Floats


@dataclass(slots=True, kw_only=True)
class TensorError:
    """One tensor whose type changes; the rest is known once its rows are read. `weighed`: with an importance."""

    name: str
    shape: tuple[int, ...]
    before: str
    after: str
    weighed: bool = False
    squared_values: float = 0.0
    squared_errors: float = 0.0

    def add(self, values: Floats, stored: Floats) -> None:
        """Count `values` and what became of them."""
        flat, difference = values.reshape(-1), (stored - values).reshape(-1)
        self.squared_values += float(np.dot(flat, flat))
        self.squared_errors += float(np.dot(difference, difference))

    @property
    def relative(self) -> float:
        """Root mean square error over the root mean square of the values; 0 where all of them are 0."""
        return (self.squared_errors / self.squared_values) ** 0.5 if self.squared_values else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationReport:
    """name: what the model may be called now, such as "Q8_0" or "Q4_K_M mixture"."""

    name: str
    tensors: tuple[TensorError, ...]

    @property
    def relative(self) -> float:
        """The relative error, as one, of all tensors that lost something: not of vectors that became float32."""
        lossy = [tensor for tensor in self.tensors if tensor.after != "F32"]
        values = sum(tensor.squared_values for tensor in lossy)
        return (sum(tensor.squared_errors for tensor in lossy) / values) ** 0.5 if values else 0.0
