"""Stop strings in a stream: what may be printed, and where to end. Knows text only, no tokens."""

from collections.abc import Sequence
from itertools import compress

from sharkpack.runtime_shim.errors import RequestError


class StopFilter:
    """Passes text on, but keeps back an end that may turn out to be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str]) -> None:
        if any(not stop for stop in stops):
            raise RequestError("a stop string is empty: give at least one character")
        self._stops = tuple(stops)
        self._held = ""
        self._printed = bytearray()
        self.stopped = False

    def push(self, text: str, *, printed: bool = True) -> str:
        """The part of what has come so far that may be printed now; after a stop string, what stood before it.

        Text that is not `printed`, a special token's, counts for the stop strings and is never returned.
        """
        if not self._stops:
            return text if printed else ""
        self._held += text
        self._printed += bytes([printed]) * len(text)
        found = [position for stop in self._stops if (position := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            before = self._take(min(found))
            self._held, self._printed = "", bytearray()
            return before
        return self._take(len(self._held) - max(_overlap(self._held, stop) for stop in self._stops))

    def finish(self) -> str:
        """What was kept back, once nothing more comes."""
        return self._take(len(self._held))

    def _take(self, size: int) -> str:
        text, printed = self._held[:size], self._printed[:size]
        self._held, self._printed = self._held[size:], self._printed[size:]
        return text if all(printed) else "".join(compress(text, printed))


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
