"""The table of GGML types that can be read, and the reference dequantisation of a whole tensor."""

from collections.abc import Sequence
from math import prod

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import k_blocks, simple_blocks
from sharkpack.formats.quant.block import Bytes, Decode, Floats, QuantType, block_values


def _float(name: str, ggml_id: int, size: int) -> QuantType:
    return QuantType(
        name=name,
        ggml_id=ggml_id,
        kind="float",
        block=1,
        block_bytes=size,
        sub_block=1,
        bits=8 * size,
        zero_point=None,
        has_min=False,
        decode=None,
    )


def _quantized(
    name: str, ggml_id: int, *, nbytes: int, bits: int, zero: int | None, decode: Decode, block: int = 32, sub: int = 32
) -> QuantType:
    """A type with a zero point, or (`zero` None) with minimums."""
    return QuantType(
        name=name,
        ggml_id=ggml_id,
        kind="simple" if block == sub else "superblock",
        block=block,
        block_bytes=nbytes,
        sub_block=sub,
        bits=bits,
        zero_point=zero,
        has_min=zero is None,
        decode=decode,
    )


_ALL = (
    _float("F32", 0, 4),
    _float("F16", 1, 2),
    _float("BF16", 30, 2),
    _quantized("Q4_0", 2, nbytes=18, bits=4, zero=8, decode=simple_blocks.decode_q4_0),
    _quantized("Q4_1", 3, nbytes=20, bits=4, zero=None, decode=simple_blocks.decode_q4_1),
    _quantized("Q5_0", 6, nbytes=22, bits=5, zero=16, decode=simple_blocks.decode_q5_0),
    _quantized("Q5_1", 7, nbytes=24, bits=5, zero=None, decode=simple_blocks.decode_q5_1),
    _quantized("Q8_0", 8, nbytes=34, bits=8, zero=128, decode=simple_blocks.decode_q8_0),
    _quantized("Q4_K", 12, nbytes=144, bits=4, zero=None, decode=k_blocks.decode_q4_k, block=256),
    _quantized("Q5_K", 13, nbytes=176, bits=5, zero=None, decode=k_blocks.decode_q5_k, block=256),
    _quantized("Q6_K", 14, nbytes=210, bits=6, zero=32, decode=k_blocks.decode_q6_k, block=256, sub=16),
)
QUANT_TYPES: dict[str, QuantType] = {t.name: t for t in _ALL}

_SLAB_ELEMENTS = 1 << 20


def quant_type(name: str) -> QuantType:
    """The type of that GGML name ("Q4_K"); SharkpackError for any other."""
    found = QUANT_TYPES.get(name)
    if found is None:
        raise SharkpackError(
            f"Quantisation type {name} is not supported; supported are {', '.join(QUANT_TYPES)}. "
            "Use a file quantised to one of those."
        )
    return found


def check_blocks(quant: QuantType, raw: Bytes, shape: Sequence[int]) -> Bytes:
    """`raw` as uint8 [blocks, block_bytes]; SharkpackError unless it is exactly a tensor of `shape` (row-major)."""
    if not shape or min(shape) < 1 or shape[-1] % quant.block:
        raise SharkpackError(
            f"A {quant.name} tensor of shape {tuple(shape)} cannot be: rows are whole blocks of {quant.block} elements."
        )
    expected = quant.nbytes(prod(shape))
    if raw.dtype != np.uint8 or raw.size != expected:
        raise SharkpackError(
            f"A {quant.name} tensor of shape {tuple(shape)} takes {expected} bytes, found {raw.nbytes} ({raw.dtype})."
        )
    return raw.reshape(-1, quant.block_bytes)


def dequantize(type_name: str, raw: Bytes, shape: Sequence[int]) -> Floats:
    """float32 of `shape` (row-major) from the file's bytes `raw` (uint8): what GGML computes, bit for bit."""
    quant = quant_type(type_name)
    blocks = check_blocks(quant, raw, shape)
    if quant.decode is None:
        return float_values(quant.name, np.ascontiguousarray(blocks).reshape(-1)).reshape(shape)
    values = np.empty((len(blocks), quant.block), np.float32)
    step = _SLAB_ELEMENTS // quant.block
    for start in range(0, len(blocks), step):
        part = quant.decode(blocks[start : start + step])
        values[start : start + step] = block_values(quant, part).reshape(-1, quant.block)
    return values.reshape(shape)


def float_values(name: str, raw: Bytes) -> Floats:
    """float32 from the bytes [..., n * size] of F32, F16 or BF16 elements (either case of the name)."""
    with np.errstate(invalid="ignore"):
        match name.upper():
            case "F32":
                return raw.view("<f4").astype(np.float32)
            case "F16":
                return raw.view("<f2").astype(np.float32)
            case _:
                return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
