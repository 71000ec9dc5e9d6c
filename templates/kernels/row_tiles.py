"""Which tiles of 16 outputs a workgroup takes, and in which order it reads their weights. Knows no product."""

from collections.abc import Callable

from sharkpack.templates.kernels.emitter import Emitter

GROUP_BYTES = 128 * 1024
"""Weight bytes a workgroup reads: long enough for the memory to see its streams, few enough for threads to share."""


FEWEST_GROUPS = 8
"""Small weights are shared out too: two threads that take unlike times need more than two parts."""

STREAMS = 2
"""Runs of memory that a token's products read side by side."""


class RowTiles:
    """The tiles of `n` outputs whose weights are `nbytes` altogether; the last may be a part of a tile.

    kernel_bytes: what all workgroups of the kernel read, when that is more than this weight.
    weights: how many weights a tile is read of side by side, each of them a stream.
    """

    def __init__(self, n: int, nbytes: int, kernel_bytes: int | None = None, *, weights: int = 1) -> None:
        self.count = -(-n // 16)
        group_bytes = min(GROUP_BYTES, (kernel_bytes or nbytes) // FEWEST_GROUPS)
        share = -(-group_bytes * self.count // nbytes)
        self.each = max(STREAMS, share - share % STREAMS)
        self.streams = max(1, STREAMS // weights)
        self.part = self.count // self.streams
        self.groups = max(1, -(-self.part * self.streams // self.each))

    def for_rows(self, e: Emitter, group: str, outputs: Callable[[list[str], str, int], None]) -> None:
        """Have `outputs(tiles, token, tokens)` written for all rows: for as many tokens as fit the registers with one
        tile, so that its codes are unpacked once for them all; for those left over, with several tiles."""
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

        first = e.mul(group, self.each)
        past = e.op(f"arith.select {self._is_last(e, group)}, {e.index(self.count)}, {e.add(first, self.each)} : index")
        e.each(first, past, 1, many_tokens)
        self.side_by_side(e, group, single_tokens)

    def side_by_side(self, e: Emitter, group: str, write: Callable[[list[str]], None]) -> None:
        """Have `write(tiles)` take a workgroup's tiles, one of each stream at a time.

        A stream is a part of all tiles, and a run of memory that goes on in the next workgroup: the hardware reads
        ahead of it, and what was asked for beyond the end of one workgroup is there for the next.
        """
        each = self.each // self.streams
        first = e.mul(group, each)
        past = e.minimum(e.add(first, each), e.index(self.part))
        e.each(first, past, 1, lambda i: write([e.add(i, stream * self.part) for stream in range(self.streams)]))
        left_over = self.part * self.streams
        if left_over < self.count:
            rest = e.index(left_over), e.index(self.count)
            e.branch(self._is_last(e, group), lambda: e.each(*rest, 1, lambda tile: write([tile])))

    def _is_last(self, e: Emitter, group: str) -> str:
        return e.op(f"arith.cmpi eq, {group}, {e.index(self.groups - 1)} : index")
