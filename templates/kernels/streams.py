"""A run of packed weights in a binding, and asking the memory for what comes further on. Knows no layout."""

from dataclasses import dataclass, replace

from sharkpack.formats.packing import CACHE_LINE
from sharkpack.templates.kernels.emitter import Emitter


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of tiles in a binding, from byte `at` on.

    ahead: with it each load also asks the memory for what is some way ahead of it, counted from this byte instead.
    Line by line among the loads, as they come: bursts stand in the way of the next loads, and what reads ahead in
    the hardware follows lines that are asked for in their order.
    """

    weight: str
    at: str
    ahead: str | None = None

    def after(self, e: Emitter, nbytes: str | int) -> "Stream":
        return replace(self, at=e.add(self.at, nbytes), ahead=self.ahead and e.add(self.ahead, nbytes))

    def load(self, e: Emitter, offset: int, nbytes: int) -> str:
        """i8 [nbytes] from byte `offset` on; of several loads of a cache line, the one of its first byte asks."""
        lines = range(-(-offset // CACHE_LINE), -(-(offset + nbytes) // CACHE_LINE)) if self.ahead else ()
        for line in lines:
            self.ask_ahead(e, line)
        value = e.load(self.weight, [e.add(self.at, offset)], f"vector<{nbytes}xi8>")
        if lines:
            e.keep_order()
        return value

    def ask_ahead(self, e: Emitter, line: int) -> None:
        """Ask for what is some way ahead of one line: far ahead into the second level, near ahead into the first."""
        for level, distances in ((2, e.isa.prefetch_l2), (1, e.isa.prefetch_l1)):
            for distance in distances:
                e.prefetch(self.weight, e.add(self.ahead or self.at, CACHE_LINE * line + distance), level)

    def ask_ahead_for_first(self, e: Emitter, lines: range, token: str) -> None:
        """Ask for what is some way ahead of these lines, if `token` is the first: the others find it in a cache.

        Once: products of several tokens have no instructions to spare for more, and read no faster for it.
        """

        def ask() -> None:
            for line in lines:
                e.prefetch(self.weight, e.add(self.at, CACHE_LINE * line + e.isa.prefetch_together), level=1)

        e.branch(e.op(f"arith.cmpi eq, {token}, %origin : index"), ask)
