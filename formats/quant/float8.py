"""The 8-bit floats of checkpoints, by safetensors' names, to float32, which has every one of their values."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def _e4m3() -> Floats:
    """Sign, 4 bits of exponent, 3 of mantissa (arXiv 2209.05433): no infinity; all ones is NaN."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    normal = (8 + mantissa) * 2.0 ** (exponent - 10)
    values = np.where(exponent == 0, mantissa * 2.0**-9, normal)
    values[(exponent == 15) & (mantissa == 7)] = np.nan
    return np.where(code & 128, -values, values).astype(np.float32)


def _e5m2() -> Floats:
    """The upper half of a float16."""
    return (np.arange(256, dtype=np.uint16) << np.uint16(8)).view(np.float16).astype(np.float32)


def _e8m0() -> Floats:
    """A power of two alone: 2^(code - 127), 255 is NaN (OCP Microscaling Formats 1.0)."""
    values = 2.0 ** (np.arange(256) - 127.0)
    values[255] = np.nan
    return values.astype(np.float32)


FLOAT8_VALUES: dict[str, Floats] = {"F8_E4M3": _e4m3(), "F8_E5M2": _e5m2(), "F8_E8M0": _e8m0()}
"""The value of each byte."""


def float8_values(dtype: str, raw: npt.NDArray[np.uint8]) -> Floats:
    """float32 of the shape of `raw`."""
    return FLOAT8_VALUES[dtype][raw]
