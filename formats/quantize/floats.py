"""float32 to the float types of GGML, rounded to the nearest, ties to even."""

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant.block import Bytes, Floats

_F16_OVERFLOW = 65520  # from here on, the nearest float16 is infinity


def to_f32(values: Floats) -> Bytes:
    return np.ascontiguousarray(values, "<f4").view(np.uint8)


def to_f16(values: Floats) -> Bytes:
    """SharkpackError where a value is beyond the type's range."""
    largest = float(np.abs(values).max(initial=0))
    if largest >= _F16_OVERFLOW:
        raise SharkpackError(f"The weights hold {largest}, which F16 cannot; choose BF16 or F32.")
    return np.ascontiguousarray(values, "<f2").view(np.uint8)


def to_bf16(values: Floats) -> Bytes:
    """A NaN stays one, whatever its payload."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    quiet = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x00400000)
    bits = np.where(np.isnan(values), quiet, rounded) >> np.uint32(16)
    return bits.astype("<u2").view(np.uint8)
