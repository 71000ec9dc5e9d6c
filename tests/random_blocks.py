"""Random blocks of any quantised GGML type, in which every code and small scale occurs, of a size asked for."""

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.quant import QUANT_TYPES, dequantize

_SCALE_AT = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208, "TQ1_0": 52, "TQ2_0": 64}
"""Where a block's float16 scale is, and behind it its minimum, if not at the beginning."""


def random_blocks(
    name: str, shape: tuple[int, int], deviation: float, random: np.random.Generator
) -> NDArray[np.uint8]:
    """uint8 [rows, row bytes] of an [n, k] matrix: values of about that standard deviation, and of mean zero."""
    quant = QUANT_TYPES[name]
    blocks = random.integers(0, 256, (shape[0], shape[1] // quant.block, quant.block_bytes), np.uint8)
    ratio = _middle(name, blocks) if quant.has_min else 0.0
    _put_scales(name, blocks, np.ones(blocks.shape[:2]), ratio)
    scales = random.uniform(0.5, 1.5, blocks.shape[:2]) * deviation / dequantize(name, blocks.reshape(-1), shape).std()
    _put_scales(name, blocks, scales, ratio)
    return blocks.reshape(shape[0], -1)


def _middle(name: str, blocks: NDArray[np.uint8]) -> float:
    """The minimums' scale, as a part of the scales' one, that makes the mean of all values zero."""
    decode = QUANT_TYPES[name].decode
    assert decode is not None
    parts = decode(blocks.reshape(-1, blocks.shape[2]))
    assert parts.mins is not None
    return float((parts.codes * parts.scales[..., None].astype(float)).mean() / parts.mins.mean(dtype=float))


def _put_scales(name: str, blocks: NDArray[np.uint8], scales: NDArray[np.float64], ratio: float) -> None:
    """Give each block its scale, and `ratio` times that as its minimum if it has one."""
    if name == "MXFP4":
        blocks[..., 0] = 128 + np.rint(np.log2(scales))
    elif name == "IQ1_M":  # a float16 in the upper nibbles of four words
        bits = scales.astype(np.float16).view(np.uint16)[..., None] >> np.array([0, 4, 8, 12], np.uint16)
        blocks[..., 49:56:2] = (blocks[..., 49:56:2] & 15) | ((bits & 15) << 4).astype(np.uint8)
    else:
        at, halves = _SCALE_AT.get(name, 0), [scales, ratio * scales][: 1 + QUANT_TYPES[name].has_min]
        for i, values in enumerate(halves):
            blocks[..., at + 2 * i : at + 2 * i + 2] = values.astype(np.float16)[..., None].view(np.uint8)
