"""Weights and importances that are the same on every machine: made with whole numbers, then one exact division."""

import numpy as np

from sharkpack.formats.quant.block import Floats

ROWS, COLUMNS = 6, 512


def sample_weights(rows: int = ROWS, columns: int = COLUMNS, seed: int = 1) -> Floats:
    """[rows, columns]: mostly near zero, some far from it, each row of its own size, one row all positive."""
    spread = _whole_numbers(rows * columns, seed).reshape(rows, columns) - 2048
    weights = (spread * np.abs(spread)).astype(np.float32) / np.float32(1 << 26)
    weights *= np.float32(2) ** -np.arange(rows, dtype=np.float32)[:, None]
    weights[-1] = np.abs(weights[-1])
    return weights


def weights_of_lost_scales() -> Floats:
    """The same with runs of 16 and 32 so small beside the others that their scales are rounded to nothing."""
    weights = sample_weights()
    weights[:, 32:64] /= np.float32(4096)
    weights[:, 272:288] /= np.float32(4096)
    weights[1, 128:256] = 0
    return weights


def sample_importance(columns: int = COLUMNS, seed: int = 2) -> Floats:
    """[columns], from nearly nothing to sixteen."""
    return (_whole_numbers(columns, seed) + 1).astype(np.float32) / np.float32(256)


def _whole_numbers(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """0..4095, of a linear congruential generator: its formula will not change under us."""
    state = seed * 2654435761
    numbers = np.empty(count, np.int64)
    for index in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        numbers[index] = state >> 52
    return numbers
