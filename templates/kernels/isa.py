"""The instruction sets kernels are written for: which leaf instructions exist. Data only."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Isa:
    """What a kernel may use beyond plain vector arithmetic.

    fma: fused multiply-add in hardware; without it a fused product would become a call into a maths library.
    dot: how 4 unsigned by 4 signed bytes are summed into 32 bits: plain integer arithmetic or AVX-512 VNNI.
    """

    name: str
    fma: bool
    dot: Literal["portable", "avx512vnni"]


BASELINE = Isa(name="baseline", fma=False, dot="portable")
PORTABLE = Isa(name="portable", fma=True, dot="portable")
AVX512_VNNI = Isa(name="avx512vnni", fma=True, dot="avx512vnni")
