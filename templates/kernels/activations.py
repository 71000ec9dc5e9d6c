"""Reads the int8 activations of some tokens for matmuls, a block of 32 at a time. Knows no weights."""

from collections.abc import Sequence

from sharkpack.templates.kernels.activation_block import BLOCK_SUM, DROP, LIFT, LIFT_BITS, SCALE, SIZE, SUM
from sharkpack.templates.kernels.dot import dot16
from sharkpack.templates.kernels.emitter import F32, I32, Emitter

WORDS = 8
"""i32 words of a block's codes: as many as there are floats beside them, so that one index finds both."""
assert WORDS == SIZE


class ActivationBlock:
    """One block of a row `first` and those behind it, of k values each.

    x: begins the names of codes and scales. remainder: activations of 16 bits, whose second bytes are `remainders`.
    Rows are found from the first one's: the other distances are constants, which cost no registers.
    """

    def __init__(self, e: Emitter, k: int, block: str, first: str, *, x: str, remainder: bool) -> None:
        self.e, self.k, self.remainder = e, k, remainder
        self.codes, self.scales = f"{x}codes", f"{x}scales"
        self.at = e.opaque(e.add(e.mul(first, k // 4), e.mul(block, WORDS)))
        if remainder:
            self.sums_at = e.opaque(e.add(e.mul(first, k // 16), e.mul(block, 2)))

    def sums(self, token: int, halves: Sequence[int]) -> list[str]:
        """Parts of d times the sum of the codes of these halves, f32 [16] of equal values."""
        e, slot = self.e, BLOCK_SUM if len(halves) == 2 else SUM + halves[0]
        found = [self._beside(token, slot)]
        if self.remainder:
            offset = token * (self.k // 16)
            found += [e.load_scalar("remainder_sums", [e.add(self.sums_at, offset + half)]) for half in halves]
        return [e.splat(value) for value in found]

    def dots(self, token: int, half: int, codes: Sequence[Sequence[str]], bits: int) -> list[str]:
        """d * sum of code * x, f32 [16 rows], of one half of a token and the 4 vectors of codes of each stream."""
        words = self._words(self.codes, token, half)
        d = self._beside(token, SCALE + half)
        if self.remainder:
            fine = self.e.splat(self.e.op(f"arith.mulf {d}, {self.e.float(1.0 / 256.0)} : f32"))
            left = self._words("remainders", token, half)
            return [self._fine(mine, words, left, fine, bits) for mine in codes]
        d, drop = self.e.splat(d), self.e.splat(self._beside(token, DROP + half))
        return [self._lifted(mine, words, d, drop, bits) for mine in codes]

    def _lifted(self, codes: Sequence[str], words: Sequence[str], d: str, drop: str, bits: int) -> str:
        """Returns the lifted sum of activation_block.py times d."""
        e = self.e
        lifted = e.bitcast(dot16(e, e.integers(LIFT_BITS), codes, words, bits), I32, F32)
        if e.isa.fma:
            return e.fma(lifted, d, drop)
        # Two roundings would be two of a number that is a thousand times the result.
        return e.float_op("mulf", e.float_op("subf", lifted, e.floats(LIFT)), d)

    def _fine(self, codes: Sequence[str], words: Sequence[str], left: Sequence[str], fine: str, bits: int) -> str:
        """With 256ths of a step a sum is too large to be lifted: at most 16 * 255 * 128, so 8 bits more fit."""
        e = self.e
        total = dot16(e, e.integers(0), codes, words, bits)
        total = e.op(f"arith.shli {total}, {e.integers(8)} : {I32}")
        total = dot16(e, total, codes, left, bits)
        return e.float_op("mulf", e.op(f"arith.sitofp {total} : {I32} to {F32}"), fine)

    def _words(self, name: str, token: int, half: int) -> list[str]:
        """16 codes of a half, in four i32."""
        start = token * (self.k // 4) + 4 * half
        return [self.e.load_scalar(name, [self.e.add(self.at, start + g)]) for g in range(4)]

    def _beside(self, token: int, slot: int) -> str:
        return self.e.load_scalar(self.scales, [self.e.add(self.at, token * (self.k // 4) + slot)])
