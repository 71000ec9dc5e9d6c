"""Rotary position embedding: frequencies under each scaling, and the cosines and sines of a step's positions.

Rotation pairs the two halves of a head; `neighbours_to_halves` reorders the rows of sources that pair neighbours.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.recipe import Source, WeightTable, require_multiple

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
        frequencies, magnitude = scaled
        require_multiple("the number of rotated dimensions", 2 * len(frequencies), 32)
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
    """theta^(-2i / rope_dim) for i in 0..rope_dim/2 - 1."""
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


def _yarn(source: Source, frequencies: NDArray[np.float64], theta: float, factor: float) -> Frequencies:
    """YaRN (arXiv 2309.00071), section 3: interpolate the low frequencies, keep the high ones, ramp between."""
    original = source.integer("rope.scaling.original_context_length")
    fast, slow = (
        source.floating("rope.scaling.yarn_beta_fast", 32.0),
        source.floating("rope.scaling.yarn_beta_slow", 1.0),
    )
    rope_dim = 2 * len(frequencies)

    def dimension(rotations: float) -> float:
        return rope_dim * math.log(original / (rotations * 2 * math.pi)) / (2 * math.log(theta))

    low, high = max(0.0, math.floor(dimension(fast))), min(rope_dim - 1.0, math.ceil(dimension(slow)))
    ramp = np.clip((np.arange(rope_dim // 2) - low) / max(0.001, high - low), 0.0, 1.0)
    magnitude = source.floating("rope.scaling.attn_factor", 1.0) * (1.0 + 0.1 * math.log(factor))
    return frequencies / factor * ramp + frequencies * (1.0 - ramp), magnitude


def neighbours_to_halves(heads: int, head_dim: int, rope_dim: int) -> NDArray[np.int64]:
    """Row order that turns heads whose rotation pairs rows (2i, 2i+1) into heads that pair (i, i + rope_dim/2)."""
    head = np.arange(head_dim)
    head[:rope_dim] = np.arange(rope_dim).reshape(rope_dim // 2, 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * head_dim + head).reshape(-1).astype(np.int64)
