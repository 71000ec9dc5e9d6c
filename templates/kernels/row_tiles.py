"""The tiles of 16 outputs that a workgroup takes, and the order in which it reads their weights."""

from collections.abc import Callable

from sharkpack.templates.kernels.emitter import Emitter
from sharkpack.templates.kernels.workgroups import Shares, best, choices, even

MOST_TILES = 32
"""Of a workgroup: some kernels keep their tiles' sums on the stack, of which the compiler grants 32 KiB."""

STREAMS = 2
"""Runs of memory that a token's products read side by side."""

CACHE_BYTES = 2 << 20
"""After so many bytes of weights a core's own caches hold nothing else: second-level caches have 0.5 to 2 MiB.

What is written is then better written past them (`Emitter.store_past_caches`): a line that they have lost is fetched
before it is written, and while a fetch is on its way amid the streams of weights, those slow down.
"""


class RowTiles:
    """The tiles of `n` outputs whose weights are `nbytes` altogether; the last may be a part of a tile.

    Workgroups have the sizes that suit a kernel that reads nothing else; see `resize`.
    kernel_bytes: what all workgroups of the kernel read, when that is more than this weight.
    weights: how many weights a tile is read of side by side, each of them a stream.
    unit: a workgroup has a multiple of so many tiles (the last one what is left).
    """

    def __init__(
        self, n: int, nbytes: int, kernel_bytes: int | None = None, *, weights: int = 1, unit: int = STREAMS
    ) -> None:
        self.count, self.nbytes = -(-n // 16), nbytes
        self.fill_caches = (kernel_bytes or nbytes) >= CACHE_BYTES
        self.unit, self.streams = unit, max(1, STREAMS // weights)
        self.part = self.count // self.streams
        self.units = -(-self.part * self.streams // unit)
        self.unit_bytes = unit * nbytes / self.count
        self.shares = best(choices(self.units, self.unit_bytes, MOST_TILES // unit), self._bytes)

    @property
    def groups(self) -> int:
        return self.shares.groups

    @property
    def most(self) -> int:
        """Tiles of a workgroup, but for one that is left over."""
        return self.shares.most * self.unit

    def resize(self, group_bytes: int) -> None:
        """Have workgroups that read so much, more or less."""
        self.shares = self._even(group_bytes)

    def groups_of(self, group_bytes: int) -> list[float]:
        """Returns the bytes that each workgroup would read, if they were resized."""
        return self._bytes(self._even(group_bytes))

    def _even(self, group_bytes: int) -> Shares:
        return even(self.units, min(MOST_TILES // self.unit, max(1, round(group_bytes / self.unit_bytes))))

    def _bytes(self, shares: Shares) -> list[float]:
        found = [self.unit_bytes * size for size in shares.sizes(self.units)[:-1]]
        return [*found, self.nbytes - sum(found)]

    def first(self, e: Emitter, group: str) -> str:
        """The first tile of a workgroup in each stream, counted from the stream's first."""
        return e.mul(self.shares.first(e, group), self.unit // self.streams)

    def for_rows(
        self,
        e: Emitter,
        group: str,
        outputs: Callable[[list[str], str, int], None],
        last: Callable[[str, str], None] | None = None,
    ) -> None:
        """Have `outputs(tiles, token, tokens)` written for all rows: for as many tokens as fit the registers with a
        tile or two (`Isa.weight_tiles`), so that codes are unpacked once for them all; for those left over, with
        several tiles.

        last: written as `last(tile, token)` of every `unit` tiles of the tokens left over, once the products of all of
            the workgroup's tiles are there.
        """
        ends = ["%origin"]
        for size in e.isa.token_tiles:
            left = e.op(f"arith.subi %rows, {ends[-1]} : index")
            over = e.op(f"arith.remui {left}, {e.index(size)} : index")
            ends.append(e.op(f"arith.subi %rows, {over} : index"))

        def together(tiles: list[str], size: int) -> Callable[[str], None]:
            return lambda token: outputs(tiles, token, size)

        def many_tokens(tiles: list[str]) -> None:
            for size, begin, end in zip(e.isa.token_tiles, ends, ends[1:], strict=False):
                e.each(begin, end, size, together(tiles, size))

        def single_tokens(tiles: list[str]) -> None:
            e.each(ends[-1], "%rows", 1, lambda token: outputs(tiles, token, 1))

        first, past = (e.mul(self.first(e, at), self.streams) for at in (group, e.add(group, 1)))
        past = e.op(f"arith.select {self._is_last(e, group)}, {e.index(self.count)}, {past} : index")
        if min(self.streams, e.isa.weight_tiles) == 2:
            self._pairs(e, group, many_tokens)
        else:
            e.each(first, past, 1, lambda tile: many_tokens([tile]))
        self.side_by_side(e, group, single_tokens)
        if last:
            e.each(first, past, self.unit, lambda tile: e.each(ends[-1], "%rows", 1, lambda token: last(tile, token)))

    def side_by_side(self, e: Emitter, group: str, write: Callable[[list[str]], None]) -> None:
        """Have `write(tiles)` take a workgroup's tiles, one of each stream at a time.

        A stream is a part of all tiles, and a run of memory that goes on in the next workgroup: the hardware reads
        ahead of it, and what was prefetched beyond the end of one workgroup is there for the next.
        """
        first, past = self._run(e, group)
        e.each(first, past, 1, lambda i: write([e.add(i, stream * self.part) for stream in range(self.streams)]))
        left_over = self.part * self.streams
        if left_over < self.count:
            rest = e.index(left_over), e.index(self.count)
            e.branch(self._is_last(e, group), lambda: e.each(*rest, 1, lambda tile: write([tile])))

    def _pairs(self, e: Emitter, group: str, write: Callable[[list[str]], None]) -> None:
        """Loop over pairs of tiles: with a tile left over comes one that another pair has, too, and is computed again
        to the same values."""
        first, past = self._run(e, group)
        if self.count % 2:
            past = e.op(f"arith.select {self._is_last(e, group)}, {e.index(self.part + 1)}, {past} : index")
        end = self.count - 1
        e.each(first, past, 1, lambda i: write([i, e.minimum(e.add(i, self.part), e.index(end))]))

    def _run(self, e: Emitter, group: str) -> tuple[str, str]:
        """The first tile of a workgroup in each stream, and the one past its last."""
        return self.first(e, group), e.minimum(self.first(e, e.add(group, 1)), e.index(self.part))

    def _is_last(self, e: Emitter, group: str) -> str:
        return e.op(f"arith.cmpi eq, {group}, {e.index(self.groups - 1)} : index")
