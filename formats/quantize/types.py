"""The table of GGML types that can be written, and the quantisation of rows of a matrix."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quantize import floats, k_quants, simple
from sharkpack.formats.quantize.simple import Encoder

_CHUNK_ELEMENTS = 1 << 16
"""A search then works in a core's second cache; with less, threads of one matrix wait for the interpreter's lock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantizer:
    """Encodes values as blocks of `block` elements in `block_bytes` bytes.

    weigh: a column's importance is multiplied by sqrt(weigh * mean square + x * x), the mean taken over `run` elements
    (None: the whole row); weigh 0 takes the importance as it is, None does without.
    """

    name: str
    block: int
    block_bytes: int
    encode: Encoder
    weigh: float | None = None
    run: int | None = None

    def row_bytes(self, columns: int) -> int:
        return columns // self.block * self.block_bytes


def _float(name: str, size: int, encode: Callable[[Floats], Bytes]) -> Quantizer:
    return Quantizer(name=name, block=1, block_bytes=size, encode=lambda values, _: encode(values))


def _simple(name: str, nbytes: int, encode: Encoder, weigh: float | None = 1) -> Quantizer:
    return Quantizer(name=name, block=32, block_bytes=nbytes, encode=encode, weigh=weigh)


def _k_quant(name: str, nbytes: int, encode: Encoder, weigh: float) -> Quantizer:
    return Quantizer(name=name, block=256, block_bytes=nbytes, encode=encode, weigh=weigh, run=256)


_ALL = (
    _float("F32", 4, floats.to_f32),
    _float("F16", 2, floats.to_f16),
    _float("BF16", 2, floats.to_bf16),
    _simple("Q4_0", 18, simple.symmetric(4)),
    _simple("Q4_1", 20, simple.affine(4)),
    _simple("Q5_0", 22, simple.symmetric(5)),
    _simple("Q5_1", 24, simple.affine(5)),
    _simple("Q8_0", 34, simple.encode_q8_0, weigh=0),
    _k_quant("Q2_K", 84, k_quants.encode_q2_k, 1),
    _k_quant("Q3_K", 110, k_quants.encode_q3_k, 2),
    _k_quant("Q4_K", 144, k_quants.encode_q4_k, 2),
    _k_quant("Q5_K", 176, k_quants.encode_q5_k, 2),
    _k_quant("Q6_K", 210, k_quants.encode_q6_k, 0),
)
QUANTIZERS: dict[str, Quantizer] = {each.name: each for each in _ALL}


def quantizer(type_name: str) -> Quantizer:
    """The quantiser to that GGML type ("Q4_K"); SharkpackError for any other."""
    found = QUANTIZERS.get(type_name)
    if found is None:
        raise SharkpackError(f"Nothing can be quantised to {type_name} here; choose one of {', '.join(QUANTIZERS)}.")
    return found


def quantize(type_name: str, values: Floats, importance: Floats | None = None) -> Bytes:
    """Rows of GGML's bytes, uint8 [rows, row bytes], from float32 `values` [rows, columns].

    `importance`, float32 [columns] and not negative, says how much an error in each column matters. Rows do not
    depend on each other: any division of a matrix into slabs gives the same bytes. SharkpackError unless rows are
    whole blocks and every value is finite.
    """
    kind = quantizer(type_name)
    rows, columns = values.shape
    if columns % kind.block:
        raise SharkpackError(f"Rows of {columns} are not whole {kind.name} blocks of {kind.block}.")
    if importance is not None and importance.shape != (columns,):
        raise SharkpackError(f"An importance of {importance.size} columns cannot weigh rows of {columns}.")
    blocks = np.empty((rows, kind.row_bytes(columns)), np.uint8)
    step = max(_CHUNK_ELEMENTS // columns, 1)
    for start in range(0, rows, step):
        part = np.ascontiguousarray(values[start : start + step], np.float32)
        if not np.isfinite(part.min(initial=0) + part.max(initial=0)):
            raise SharkpackError("The weights hold a value that is not a finite number.")
        with np.errstate(all="ignore"):  # a block of numbers too small for its scale is stored as zeros, of any code
            encoded = kind.encode(part, _weights(kind, part, importance))
        blocks[start : start + step] = encoded.reshape(len(part), -1)
    return blocks


def _weights(kind: Quantizer, values: Floats, importance: Floats | None) -> Floats | None:
    """Returns the cost of an error in each value, shaped as `values`; None where all are the encoder's to weigh."""
    if importance is None or kind.weigh is None:
        return None
    if kind.weigh == 0:
        return np.broadcast_to(importance, values.shape)
    squares = values * values
    runs = squares.reshape(len(values), -1, kind.run or values.shape[1])
    sums = runs.cumsum(axis=2)[:, :, -1:]  # unlike sum, it adds in order
    spread = np.float32(kind.weigh) * sums / np.float32(runs.shape[2])
    return importance * np.sqrt(spread + runs).reshape(values.shape)
