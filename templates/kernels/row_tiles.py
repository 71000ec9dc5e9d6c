"""Which tiles of 16 outputs a workgroup takes, and in which order it reads their weights. Knows no product."""

from collections.abc import Callable

from sharkpack.templates.kernels.emitter import Emitter

GROUP_BYTES = 128 * 1024
"""Weight bytes a workgroup reads: long enough for the memory to see its streams, few enough for threads to share."""


FEWEST_GROUPS = 8
"""Small weights are shared out too: two threads that take unlike times need more than two parts."""


class RowTiles:
    """The tiles of `n` outputs whose weights are `nbytes` altogether; the last may be a part of a tile.

    kernel_bytes: what all workgroups of the kernel read, when that is more than this weight.
    weights: how many weights a tile is read of side by side.
    """

    def __init__(self, n: int, nbytes: int, kernel_bytes: int | None = None, *, weights: int = 1) -> None:
        self.count, self.weights = -(-n // 16), weights
        group_bytes = min(GROUP_BYTES, (kernel_bytes or nbytes) // FEWEST_GROUPS)
        share = -(-group_bytes * self.count // nbytes)
        self.each = max(2, share - share % 2)
        self.groups = -(-self.count // self.each)

    def range_of(self, e: Emitter, group: str) -> tuple[str, str]:
        """The first tile of a workgroup, and the one past its last."""
        first = e.mul(group, self.each)
        return first, e.minimum(e.add(first, self.each), e.index(self.count))

    def for_rows(self, e: Emitter, group: str, outputs: Callable[[list[str], str, int], None]) -> None:
        """Have `outputs(tiles, token, tokens)` written for all rows: for as many tokens as fit the registers with one
        tile, so that its codes are unpacked once for them all; for those left over, with several tiles."""
        first, last = self.range_of(e, group)
        ends = ["%origin"]
        for size in e.isa.token_tiles:
            left = e.op(f"arith.subi %rows, {ends[-1]} : index")
            over = e.op(f"arith.remui {left}, {e.index(size)} : index")
            ends.append(e.op(f"arith.subi %rows, {over} : index"))

        def together(tile: str, size: int) -> Callable[[str], None]:
            return lambda token: outputs([tile], token, size)

        def many_tokens(tile: str) -> None:
            for size, begin, end in zip(e.isa.token_tiles, ends, ends[1:], strict=False):
                e.each(begin, end, size, together(tile, size))

        def single_tokens(tiles: list[str]) -> None:
            e.each(ends[-1], "%rows", 1, lambda token: outputs(tiles, token, 1))

        e.each(first, last, 1, many_tokens)
        self.side_by_side(e, first, last, single_tokens)

    def side_by_side(self, e: Emitter, first: str, last: str, write: Callable[[list[str]], None]) -> None:
        """Have `write(tiles)` take all tiles, one for each stream at a time, each from a part of its own.

        Every stream is then one run of memory, which the hardware reads ahead of: neighbours taken in pairs would
        each jump over the other.
        """
        streams = max(1, e.isa.streams // self.weights)
        part = e.op(f"arith.divui {e.op(f'arith.subi {last}, {first} : index')}, {e.index(streams)} : index")

        def one_of_each(i: str) -> None:
            tile = e.add(first, i)
            write([e.add(tile, e.mul(part, s)) if s else tile for s in range(streams)])

        e.each("%origin", part, 1, one_of_each)
        if streams > 1:
            e.each(e.add(first, e.mul(part, streams)), last, 1, lambda tile: write([tile]))
