"""The eight float32 values stored beside each block of 32 int8 activations. Shared by writers and readers.

Each half of a block has its own d = max|x| / 127, a quarter less error than one for all 32. A dot product that
begins at `LIFT_BITS` is, its bits read as a float32, LIFT more than the integer: multiplied by d, with `DROP` added in
the same instruction, it is d times the integer, and nothing was converted. That is exact, as d has 22 bits and so
-LIFT * d no more than 24 (and infinite for activations beyond 3e33, which no model has).
"""

LIFT = 1.5 * 2.0**23
"""Integers below 2^22 added to its bits count up or down by one each: from 2^23 to 2^24 a float32 has no fraction."""

LIFT_BITS = 0x4B400000

D_BITS = -4
"""What is left of the bits of d: all but the last two."""

SIZE = 8
SCALE = 0
"""d of the first half; that of the second half follows."""
SUM = 2
"""d times the sum of the codes of the first half; that of the second half follows."""
DROP = 4
"""-LIFT * d of the first half; that of the second half follows."""
BLOCK_SUM = 6
"""Both sums added up. The last of the eight is not used."""
