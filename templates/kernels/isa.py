"""The instruction sets kernels are written for: which leaf instructions exist. Data only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """The instructions that a kernel may use beyond plain vector arithmetic.

    register_bytes: of the widest vector registers that the leaf instructions take.
    fma: fused multiply-add in hardware; without it a fused product would become a call into a maths library.
    converts_halves: f16 to f32 and back in hardware.
    dot: how products of unsigned codes and signed bytes are summed into 32 bits: four at a time (VNNI; Arm's sdot, of
        signed codes, and usdot), two at a time into 16 bits (maddubs), or plain integer arithmetic.
    shuffle: the instruction that looks 16 bytes up in a register, if there is one.
    token_tiles: how many tokens take a tile of weights together, as many as fit the registers first.
    weight_tiles: how many tiles those tokens take together: with two, each activation is loaded once for both.
    prefetch_l2: the distances in bytes at which a single token's matmul prefetches weights into the second-level
        cache. An x86 core can wait for more lines there than in its first, which holds up loads once it is full of
        lines on their way (docs/profile.md).
    prefetch_l1: the distances into the first: near enough to find them in the second.
    prefetch_together: the distance at which several tokens' matmul prefetches weights, once: it has no
        instructions to spare.
    """

    name: str
    register_bytes: Literal[16, 32, 64]
    fma: bool
    dot: Literal["portable", "maddubs", "vnni", "sdot", "usdot"]
    shuffle: Literal["none", "pshufb", "tbl"]
    converts_halves: bool = True
    token_tiles: tuple[int, ...] = (4,)
    weight_tiles: Literal[1, 2] = 1
    prefetch_l2: tuple[int, ...] = ()
    prefetch_l1: tuple[int, ...] = (1024,)
    prefetch_together: int = 1024


# Measured alike on every instruction set of x86. Each touch is an instruction, and a line on its way into the first
# level takes one of the few places that loads wait in.
_FAR, _NEAR = (4096,), (2048, 1024)

PORTABLE = Isa(name="portable", register_bytes=16, fma=True, dot="portable", shuffle="none")

SSSE3 = Isa(name="ssse3", register_bytes=16, fma=False, converts_halves=False, dot="maddubs", shuffle="pshufb")
AVX2 = Isa(
    name="avx2",
    register_bytes=32,
    fma=True,
    dot="maddubs",
    shuffle="pshufb",
    prefetch_l2=_FAR,
    prefetch_l1=_NEAR,
    prefetch_together=2048,
)
AVX_VNNI = Isa(
    name="avxvnni",
    register_bytes=32,
    fma=True,
    dot="vnni",
    shuffle="pshufb",
    prefetch_l2=_FAR,
    prefetch_l1=_NEAR,
    prefetch_together=4096,
)
AVX512 = Isa(
    name="avx512",
    register_bytes=64,
    fma=True,
    dot="maddubs",
    shuffle="pshufb",
    token_tiles=(8, 4),
    weight_tiles=2,
    prefetch_l2=_FAR,
    prefetch_l1=_NEAR,
    prefetch_together=4096,
)
AVX512_VNNI = Isa(
    name="avx512vnni",
    register_bytes=64,
    fma=True,
    dot="vnni",
    shuffle="pshufb",
    token_tiles=(8, 4),
    weight_tiles=2,
    prefetch_l2=_FAR,
    prefetch_l1=_NEAR,
    prefetch_together=4096,
)

NEON = Isa(name="neon", register_bytes=16, fma=True, dot="portable", shuffle="tbl")
DOTPROD = Isa(name="dotprod", register_bytes=16, fma=True, dot="sdot", shuffle="tbl")
I8MM = Isa(name="i8mm", register_bytes=16, fma=True, dot="usdot", shuffle="tbl")
