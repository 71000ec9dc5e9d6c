"""Rotary position embedding: frequencies under each scaling, and the cosines and sines of a step's positions.

Rotation pairs the two halves of a head; `neighbours_to_halves` reorders the rows of sources that pair neighbours.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import dequantize
from sharkpack.templates.layers.recipe import WeightTable, require_multiple
from sharkpack.templates.layers.source import Source

FINE = 64
"""cos(a + b) from two small tables, a a multiple of 64 positions and b below 64: exact to float32, 64 times smaller."""

SCALING_KEYS = frozenset(
    {
        "rope.scaling.type",
        "rope.scaling.factor",
        "rope.scaling.original_context_length",
        "rope.scaling.attn_factor",
        "rope.scaling.finetuned",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
    }
)

Frequencies = tuple[NDArray[np.float64], float]
"""Of each pair of rotated dimensions, and the factor on cosines and sines."""


class Rope(torch.nn.Module):
    """The angles of one set of frequencies, as two buffers under `rope.<name>`."""

    def __init__(self, table: WeightTable, name: str, scaled: Frequencies, context: int) -> None:
        super().__init__()
        frequencies, magnitude = _padded(scaled)
        coarse = np.arange(0, context, FINE, dtype=np.float64)[:, None] * frequencies
        fine = np.arange(FINE, dtype=np.float64)[:, None] * frequencies
        self.coarse = torch.nn.Buffer(table.table(f"rope.{name}.coarse", _cos_sin(coarse, magnitude)))
        self.fine = torch.nn.Buffer(table.table(f"rope.{name}.fine", _cos_sin(fine, 1.0)))

    def forward(self, positions: Tensor) -> Tensor:
        """positions [rows] i64 -> [rows, 2 * len(frequencies)]: cosines, then sines."""
        coarse = torch.index_select(self.coarse, 0, positions // FINE)
        fine = torch.index_select(self.fine, 0, positions % FINE)
        half = coarse.shape[1] // 2
        cos_a, sin_a, cos_b, sin_b = coarse[:, :half], coarse[:, half:], fine[:, :half], fine[:, half:]
        return torch.cat([cos_a * cos_b - sin_a * sin_b, sin_a * cos_b + cos_a * sin_b], 1)


def _cos_sin(angles: NDArray[np.float64], magnitude: float) -> NDArray[np.float32]:
    return (np.concatenate([np.cos(angles), np.sin(angles)], 1) * magnitude).astype(np.float32)


def plain_frequencies(theta: float, rope_dim: int) -> NDArray[np.float64]:
    """theta^(-2i / rope_dim) for i in 0..rope_dim/2 - 1; SharkpackError where theta is no base of angles."""
    if not theta > 1:
        raise SharkpackError(f"rope.freq_base is {theta:g}; it must be above 1")
    return np.power(theta, -np.arange(0, rope_dim, 2, dtype=np.float64) / rope_dim)


def scaled_frequencies(
    source: Source, theta: float, rope_dim: int, factors: NDArray[np.float32] | None = None
) -> Frequencies:
    """Under the scaling that the source declares.

    factors: the divisors of a `rope_freqs.weight` tensor (Llama 3), if the source has one.
    Raises SharkpackError for a scaling that is not known.
    """
    frequencies = plain_frequencies(theta, rope_dim)
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    kind = source.text("rope.scaling.type", "none")
    if kind == "none":
        return frequencies, 1.0
    factor = source.floating("rope.scaling.factor", 1.0)
    if not factor > 0:
        raise SharkpackError(f"rope.scaling.factor is {factor}; it must be positive")
    if kind == "linear":
        return frequencies / factor, 1.0
    if kind == "yarn":
        return _yarn(source, frequencies, theta, factor)
    raise SharkpackError(f"rope scaling '{kind}' is not supported; supported: none, linear, yarn, rope_freqs tensor")


def divisors(source: Source, name: str, rope_dim: int) -> NDArray[np.float32] | None:
    """Returns the divisor of each frequency, as llama.cpp stores them in a tensor of that name; None without it."""
    if name not in source.tensors:
        return None
    tensor = source.tensors[name]
    if tuple(tensor.shape) != (rope_dim // 2,):
        raise SharkpackError(
            f"tensor '{name}' has shape {list(tensor.shape)}; the hyperparameters call for {[rope_dim // 2]}"
        )
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


def _yarn(source: Source, frequencies: NDArray[np.float64], theta: float, factor: float) -> Frequencies:
    """YaRN (arXiv 2309.00071), section 3: interpolate the low frequencies, keep the high ones, ramp between."""
    original = source.integer("rope.scaling.original_context_length")
    fast, slow = (
        source.floating("rope.scaling.yarn_beta_fast", 32.0),
        source.floating("rope.scaling.yarn_beta_slow", 1.0),
    )
    if original < 1 or not fast > 0 or not slow > 0:
        raise SharkpackError(
            f"yarn from a context of {original} with betas {fast:g} and {slow:g}; each must be above zero"
        )
    rope_dim = 2 * len(frequencies)

    def dimension(rotations: float) -> float:
        return rope_dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = max(0.0, math.floor(dimension(fast))), min(rope_dim - 1.0, math.ceil(dimension(slow)))
    ramp = np.clip((np.arange(rope_dim // 2) - low) / max(0.001, high - low), 0.0, 1.0)
    magnitude = source.floating("rope.scaling.attn_factor", 1.0) * (1.0 + 0.1 * math.log(factor))
    return frequencies / factor * ramp + frequencies * (1.0 - ramp), magnitude


def padded_dims(rope_dim: int) -> int:
    """Dimensions of a head that kernels rotate where a model rotates rope_dim: two halves of whole vectors of 16."""
    return -(-rope_dim // 32) * 32


def _padded(scaled: Frequencies) -> Frequencies:
    """With frequencies of zero, which turn nothing, up to whole vectors; what fills a half is not to be magnified."""
    frequencies, magnitude = scaled
    missing = padded_dims(2 * len(frequencies)) // 2 - len(frequencies)
    if missing and magnitude != 1.0:
        require_multiple("under a scaling that magnifies, rope.dimension_count", 2 * len(frequencies), 32)
    return np.concatenate([frequencies, np.zeros(missing)]), magnitude


def row_order(heads: int, head_dim: int, rope_dim: int, *, neighbours: bool) -> NDArray[np.int64] | None:
    """The source's rows in the order that kernels rotate: halves of `padded_dims` paired; None where they are so.

    neighbours: the source pairs rows (2i, 2i + 1) of a head, not (i, i + rope_dim / 2). Dimensions that pass fill up
    both halves: scores do not change when q and k are reordered alike.
    """
    half, missing = rope_dim // 2, (padded_dims(rope_dim) - rope_dim) // 2
    if not missing:
        return neighbours_to_halves(heads, head_dim, rope_dim) if neighbours else None
    rotated = np.arange(rope_dim).reshape(half, 2).T if neighbours else np.arange(rope_dim).reshape(2, half)
    rest = np.arange(rope_dim, head_dim)
    head = np.concatenate([rotated[0], rest[:missing], rotated[1], rest[missing:]])
    return _of_each_head(heads, head)


def neighbours_to_halves(heads: int, head_dim: int, rope_dim: int) -> NDArray[np.int64]:
    """Row order that turns heads whose rotation pairs rows (2i, 2i+1) into heads that pair (i, i + rope_dim/2)."""
    head = np.arange(head_dim)
    head[:rope_dim] = np.arange(rope_dim).reshape(rope_dim // 2, 2).T.reshape(-1)
    return _of_each_head(heads, head)


def _of_each_head(heads: int, head: NDArray[np.int64]) -> NDArray[np.int64]:
    order: NDArray[np.int64] = (np.arange(heads)[:, None] * len(head) + head).reshape(-1).astype(np.int64)
    return order
