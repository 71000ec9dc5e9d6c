"""What every quantised block comes to: unsigned codes, scales, minimums; and the arithmetic from those to float32."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedBlocks:
    """n blocks without loss: value = scale * (code - zero_point), + or - the minimum where the type has one.

    codes uint8 [n, sub-blocks, elements]; scales and mins [n, sub-blocks]: float16, or small integers that
    d and dmin (float16 [n], only of super-blocks) multiply. A float16 minimum is added, a super-block's is subtracted.
    """

    codes: Bytes
    scales: NDArray[Any]
    mins: NDArray[Any] | None = None
    d: NDArray[np.float16] | None = None
    dmin: NDArray[np.float16] | None = None


Decode = Callable[[Bytes], DecodedBlocks]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantType:
    """One GGML type. `block` and `sub_block` count elements, `block_bytes` is the size of a block in the file.

    kind "float": one element a block; "simple": one float16 scale a block; "superblock": integer scales a sub-block
    under a float16 scale a block. `decode` takes blocks uint8 [n, block_bytes].
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
    decode: Decode | None

    def nbytes(self, elements: int) -> int:
        """Bytes of that many elements (a multiple of `block`) in the file."""
        return elements // self.block * self.block_bytes


def block_values(quant: QuantType, blocks: DecodedBlocks) -> Floats:
    """float32 of the shape of `blocks.codes`, in GGML's order of operations: bit for bit what it computes."""
    with np.errstate(invalid="ignore", over="ignore"):
        scale = blocks.scales.astype(np.float32)
        if blocks.d is not None:
            scale = blocks.d.astype(np.float32)[:, None] * scale
        values: Floats = blocks.codes.astype(np.float32)
        if quant.zero_point is not None:
            values -= np.float32(quant.zero_point)
        values *= scale[..., None]
        if blocks.mins is not None:
            minimum = blocks.mins.astype(np.float32)
            if blocks.dmin is None:
                values += minimum[..., None]
            else:
                values -= (blocks.dmin.astype(np.float32)[:, None] * minimum)[..., None]
        return values


def float16_at(blocks: Bytes, offset: int) -> NDArray[np.float16]:
    """The float16 at byte `offset` of each block: [n]."""
    halves: NDArray[np.float16] = np.ascontiguousarray(blocks[:, offset : offset + 2]).view("<f2")[:, 0]
    return halves
