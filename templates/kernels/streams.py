"""A run of packed weights in a binding, and its prefetch. Knows no layout."""

from dataclasses import dataclass, replace

from sharkpack.formats.packing import CACHE_LINE
from sharkpack.templates.kernels.emitter import Emitter


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of tiles in a binding, from byte `at` on.

    prefetched: with it each load also prefetches, at the distances of the ISA from this byte. Line by line among the
    loads, as they come: bursts stand in the way of the next loads, and the hardware's prefetcher follows lines that are
    read in their order.
    """

    weight: str
    at: str
    prefetched: str | None = None

    def after(self, e: Emitter, nbytes: str | int) -> "Stream":
        return replace(self, at=e.add(self.at, nbytes), prefetched=self.prefetched and e.add(self.prefetched, nbytes))

    def load(self, e: Emitter, offset: int, nbytes: int) -> str:
        """i8 [nbytes] from byte `offset` on; of several loads of a cache line, the one of its first byte prefetches."""
        lines = range(-(-offset // CACHE_LINE), -(-(offset + nbytes) // CACHE_LINE)) if self.prefetched else ()
        for line in lines:
            self.prefetch(e, line)
        value = e.load(self.weight, [e.add(self.at, offset)], f"vector<{nbytes}xi8>")
        if lines:
            e.keep_order()
        return value

    def prefetch(self, e: Emitter, line: int) -> None:
        """Prefetch for one line: at the far distances into the second level, at the near ones into the first."""
        for level, distances in ((2, e.isa.prefetch_l2), (1, e.isa.prefetch_l1)):
            for distance in distances:
                e.prefetch(self.weight, e.add(self.prefetched or self.at, CACHE_LINE * line + distance), level)

    def prefetch_once(self, e: Emitter, lines: range, token: str) -> None:
        """Prefetch for these lines if `token` is the first: the others find them in a cache.

        Once: matmuls of several tokens have no instructions to spare for more, and read no faster for it.
        """

        def prefetch() -> None:
            for line in lines:
                e.prefetch(self.weight, e.add(self.at, CACHE_LINE * line + e.isa.prefetch_together), level=1)

        e.branch(e.op(f"arith.cmpi eq, {token}, %origin : index"), prefetch)
