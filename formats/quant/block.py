"""The parts of every quantised block: unsigned codes, scales, minimums; and the arithmetic from those to float32."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedBlocks:
    """n blocks without loss: value = scale * (code - zero_point), or the scale times what a table has for the code,
    + or - the minimum where the type has one.

    codes uint8 [n, sub-blocks, elements]; scales and mins [n, sub-blocks]: floats, or small integers that
    d and dmin (float16 [n], only of super-blocks) multiply. A float16 minimum is added, a super-block's is subtracted.
    """

    codes: Bytes
    scales: NDArray[Any]
    mins: NDArray[Any] | None = None
    d: NDArray[np.float16] | None = None
    dmin: NDArray[np.float16] | None = None


ScaleType = Literal["float16", "bfloat16", "uint8", "int8", "nibbles", "none"]
"""What a sub-block's scale is: a float of its own, or under a super-block's d an integer; "nibbles" are a scale and,
above it, a minimum in one byte; with "none" d alone is the scale."""

Decode = Callable[[Bytes], DecodedBlocks]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantType:
    """One GGML type. `block` and `sub_block` count elements, `block_bytes` is the size of a block in the file.

    kind "float": one element a block; "simple": one float scale a block; "superblock": integer scales a sub-block
    under a float16 scale a block, of which `unit` is taken. `values` is what the codes stand for where they are not
    `code - zero_point`; zero_point is then what makes the lowest of them 0. `decode` takes uint8 [n, block_bytes].
    """

    name: str
    ggml_id: int
    kind: Literal["float", "simple", "superblock"]
    block: int
    block_bytes: int
    sub_block: int
    bits: int
    zero_point: int | None
    has_min: bool
    scale_type: ScaleType
    decode: Decode | None
    values: tuple[int, ...] | None = None
    unit: float = 1.0

    def nbytes(self, elements: int) -> int:
        """Bytes of that many elements (a multiple of `block`) in the file."""
        return elements // self.block * self.block_bytes


def block_values(quant: QuantType, blocks: DecodedBlocks) -> Floats:
    """float32 of the shape of `blocks.codes`, in GGML's order of operations: bit for bit what it computes."""
    with np.errstate(invalid="ignore", over="ignore"):
        scale = blocks.scales.astype(np.float32)
        if blocks.d is not None:
            scale = blocks.d.astype(np.float32)[:, None] * np.float32(quant.unit) * scale
        values = code_values(quant, blocks.codes)
        values *= scale[..., None]
        if blocks.mins is not None:
            minimum = blocks.mins.astype(np.float32)
            if blocks.dmin is None:
                values += minimum[..., None]
            else:
                values -= (blocks.dmin.astype(np.float32)[:, None] * minimum)[..., None]
        return values


def code_values(quant: QuantType, codes: Bytes) -> Floats:
    """Returns the values of codes under a scale of one, as float32; without the minimum of a type that has one."""
    if quant.values is not None:
        return np.array(quant.values, np.float32)[codes]
    values: Floats = codes.astype(np.float32)
    return values if quant.zero_point is None else values - np.float32(quant.zero_point)


def float16_at(blocks: Bytes, offset: int) -> NDArray[np.float16]:
    """The float16 at byte `offset` of each block: [n]."""
    halves: NDArray[np.float16] = np.ascontiguousarray(blocks[:, offset : offset + 2]).view("<f2")[:, 0]
    return halves
