"""A run of packed weights in a binding, and asking the memory for what comes further on. Knows no layout."""

from collections.abc import Sequence
from dataclasses import dataclass

from sharkpack.formats.packing import CACHE_LINE
from sharkpack.templates.kernels.emitter import Emitter


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of tiles in a binding, from byte `at` on."""

    weight: str
    at: str

    def after(self, e: Emitter, nbytes: str | int) -> "Stream":
        return Stream(self.weight, e.add(self.at, nbytes))

    def ask(self, e: Emitter, lines: range) -> None:
        """Ask for these cache lines of it. Past the end of the binding nothing happens."""
        for line in lines:
            at = e.add(self.at, CACHE_LINE * line)
            e.do(f"memref.prefetch %{self.weight}[{at}], read, locality<3>, data : {e.memref(self.weight)}")

    def ask_ahead(self, e: Emitter, lines: range, tokens: Sequence[str]) -> None:
        """Ask for what is some way ahead of these lines, for the products of some tokens with them.

        Between the products and not all at once: the lines that a core waits for are few, and its next loads would
        stand behind them. Of many tokens only the first find the weights in memory, and the others in a cache.
        """

        def ask() -> None:
            for distance in e.isa.prefetch_bytes:
                self.after(e, distance).ask(e, lines)

        if len(tokens) == 1:
            ask()
        else:
            e.branch(e.op(f"arith.cmpi eq, {tokens[0]}, %origin : index"), ask)
