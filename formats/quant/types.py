"""The table of GGML types that can be read, and the reference dequantisation of a whole tensor."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import grid_blocks, k_blocks, simple_blocks, table_blocks, ternary_blocks
from sharkpack.formats.quant.block import Bytes, Decode, Floats, QuantType, ScaleType, block_values


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
        scale_type="none",
        decode=None,
    )


def _block(
    name: str,
    ggml_id: int,
    nbytes: int,
    bits: int,
    decode: Decode,
    *,
    zero: int | None = None,
    values: tuple[int, ...] | None = None,
    scales: ScaleType = "float16",
) -> QuantType:
    """Blocks of 32: a type with a zero point, with a table of values, or (neither given) with minimums."""
    zero = zero if values is None else -min(values)
    return QuantType(
        name=name,
        ggml_id=ggml_id,
        kind="simple",
        block=32,
        block_bytes=nbytes,
        sub_block=32,
        bits=bits,
        zero_point=zero,
        has_min=zero is None,
        scale_type=scales,
        decode=decode,
        values=values,
    )


def _super(
    name: str,
    ggml_id: int,
    nbytes: int,
    bits: int,
    decode: Decode,
    *,
    zero: int | None = None,
    values: tuple[int, ...] | None = None,
    scales: ScaleType = "int8",
    sub: int = 32,
    unit: float = 1.0,
) -> QuantType:
    """Blocks of 256, of sub-blocks; otherwise as `_block`."""
    simple = _block(name, ggml_id, nbytes, bits, decode, zero=zero, values=values, scales=scales)
    return replace(simple, kind="superblock", block=256, sub_block=sub, unit=unit)


_ALL = (
    _float("F32", 0, 4),
    _float("F16", 1, 2),
    _float("BF16", 30, 2),
    _block("Q4_0", 2, 18, 4, simple_blocks.decode_q4_0, zero=8),
    _block("Q4_1", 3, 20, 4, simple_blocks.decode_q4_1),
    _block("Q5_0", 6, 22, 5, simple_blocks.decode_q5_0, zero=16),
    _block("Q5_1", 7, 24, 5, simple_blocks.decode_q5_1),
    _block("Q8_0", 8, 34, 8, simple_blocks.decode_q8_0, zero=128),
    _super("Q2_K", 10, 84, 2, k_blocks.decode_q2_k, scales="nibbles", sub=16),
    _super("Q3_K", 11, 110, 3, k_blocks.decode_q3_k, zero=4, sub=16),
    _super("Q4_K", 12, 144, 4, k_blocks.decode_q4_k, scales="uint8"),
    _super("Q5_K", 13, 176, 5, k_blocks.decode_q5_k, scales="uint8"),
    _super("Q6_K", 14, 210, 6, k_blocks.decode_q6_k, zero=32, sub=16),
    _super("IQ2_XXS", 16, 66, 3, grid_blocks.decode_iq2_xxs, values=grid_blocks.IQ2_VALUES, unit=1 / 8),
    _super("IQ2_XS", 17, 74, 3, grid_blocks.decode_iq2_xs, values=grid_blocks.IQ2_VALUES, unit=1 / 8, sub=16),
    _super("IQ2_S", 22, 82, 3, grid_blocks.decode_iq2_s, values=grid_blocks.IQ2_VALUES, unit=1 / 8, sub=16),
    _super("IQ3_XXS", 18, 98, 4, grid_blocks.decode_iq3_xxs, values=grid_blocks.IQ3_XXS_VALUES, unit=1 / 4),
    _super("IQ3_S", 21, 110, 4, grid_blocks.decode_iq3_s, values=grid_blocks.IQ3_S_VALUES),
    _super("IQ1_S", 19, 50, 3, grid_blocks.decode_iq1_s, values=grid_blocks.IQ1_VALUES, unit=1 / 8),
    _super("IQ1_M", 29, 56, 3, grid_blocks.decode_iq1_m, values=grid_blocks.IQ1_VALUES, unit=1 / 8, sub=16),
    _block("IQ4_NL", 20, 18, 4, table_blocks.decode_iq4_nl, values=table_blocks.IQ4_VALUES),
    _super("IQ4_XS", 23, 136, 4, table_blocks.decode_iq4_xs, values=table_blocks.IQ4_VALUES),
    _super("TQ1_0", 34, 54, 2, ternary_blocks.decode_tq1_0, zero=1, scales="none"),
    _super("TQ2_0", 35, 66, 2, ternary_blocks.decode_tq2_0, zero=1, scales="none"),
    _block("MXFP4", 39, 17, 4, table_blocks.decode_mxfp4, values=table_blocks.MXFP4_VALUES, scales="bfloat16"),
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
