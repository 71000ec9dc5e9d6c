"""The instruction sets kernels are written for: which leaf instructions exist. Data only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """What a kernel may use beyond plain vector arithmetic.

    register_bytes: of the widest vector registers that the leaf instructions take.
    fma: fused multiply-add in hardware; without it a fused product would become a call into a maths library.
    dot: how 4 unsigned by 4 signed bytes are summed into 32 bits: plain integer arithmetic or AVX-512 VNNI.
    shuffle: the instruction that looks 16 bytes up in a register, if there is one.
    token_tile: tokens whose products with one tile of weights fit the registers together.
    streams: tiles of weights that a single token's products read side by side.
    """

    name: str
    register_bytes: Literal[16, 32, 64]
    fma: bool
    dot: Literal["portable", "avx512vnni"]
    shuffle: Literal["none", "pshufb", "tbl"]
    token_tile: int = 4
    streams: int = 2


BASELINE = Isa(name="baseline", register_bytes=16, fma=False, dot="portable", shuffle="pshufb")
PORTABLE = Isa(name="portable", register_bytes=16, fma=True, dot="portable", shuffle="none")
AVX512_VNNI = Isa(name="avx512vnni", register_bytes=64, fma=True, dot="avx512vnni", shuffle="pshufb")
