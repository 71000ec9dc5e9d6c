"""Reads the file of log-probabilities that `llama-perplexity --kl-divergence-base` writes.

Of each chunk of n_ctx tokens it holds the second half, less the last: 16 bits a probability, e^-16 of the likeliest
the least. `round_trip` loses the same, so that two distributions can be compared on equal terms.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.processes import BenchmarkError

MAGIC = b"_logits_"
SPREAD = 16.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLogits:
    """The first chunk. tokens: int32 [n_ctx]; log_probabilities: f64 [rows, vocabulary], of positions first onwards."""

    tokens: npt.NDArray[np.int32]
    first: int
    log_probabilities: Floats


def read_logits(path: Path) -> SavedLogits:
    """Read the first chunk. Raises BenchmarkError for another file."""
    data = path.read_bytes()
    if data[:8] != MAGIC:
        raise BenchmarkError(f"{path} is not what llama-perplexity writes: it begins with {data[:8]!r}")
    n_ctx, vocabulary, chunks = (int(value) for value in np.frombuffer(data, np.int32, 3, offset=8))
    tokens = np.frombuffer(data, np.int32, n_ctx, offset=20)
    first, width = n_ctx // 2, 2 * ((vocabulary + 1) // 2) + 4
    rows = n_ctx - 1 - first
    packed = np.frombuffer(data, np.uint16, rows * width, offset=20 + 4 * n_ctx * chunks).reshape(rows, width)
    scales = packed[:, :4].copy().view(np.float32).astype(np.float64)
    values = packed[:, 4 : 4 + vocabulary] * scales[:, :1] + scales[:, 1:2]
    return SavedLogits(tokens=tokens, first=first, log_probabilities=normalise(values))


def round_trip(logits: Floats) -> Floats:
    """Log-probabilities of logits [rows, vocabulary], with what the file's encoding would lose of them."""
    highest = logits.max(axis=1, keepdims=True)
    lowest = np.maximum(logits.min(axis=1, keepdims=True), highest - SPREAD)
    scale = (highest - lowest) / 65535
    return normalise(np.rint((np.maximum(logits, lowest) - lowest) / scale) * scale)


def normalise(logits: Floats) -> Floats:
    """Log-softmax of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def divergences(exact: Floats, other: Floats) -> npt.NDArray[np.float64]:
    """KL(exact || other) of each row, in nats; both are log-probabilities."""
    result: Floats = (np.exp(exact) * (exact - other)).sum(axis=1)
    return result
