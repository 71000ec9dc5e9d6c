"""The errors of quantised tensors, gathered while they are made."""

from dataclasses import dataclass

import numpy as np

from sharkpack.formats.quant.block import Floats


def squares_of(values: Floats, stored: Floats) -> tuple[float, float]:
    """The sums of the squares of `values`, and of how far what became of them is away."""
    flat, difference = values.reshape(-1), (stored - values).reshape(-1)
    return float(np.dot(flat, flat)), float(np.dot(difference, difference))


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

    def add(self, squares: tuple[float, float]) -> None:
        """Count what `squares_of` found."""
        self.squared_values += squares[0]
        self.squared_errors += squares[1]

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
