"""The text of one sequence: what has come, what may be shown, and whether a stop string ended it."""

from collections.abc import Sequence
from itertools import compress

from sharkpack.runtime_shim.errors import RequestError
from sharkpack.runtime_shim.text.detokenizer import Detokenizer, Vocabulary


class Transcript:
    """Listens to tokens and gathers text, less whatever may yet turn out to be part of a stop string.

    A stop string that spells special tokens is looked for in the text with these in their places; others in the text.
    """

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        self._detokenizer = Detokenizer(vocabulary)
        named = [each for each in stop if vocabulary.spells_special(each)]
        self._special_stops = StopFilter(named)
        self._stops = StopFilter([each for each in stop if each not in named])
        self._pieces: list[str] = []
        self._taken = 0
        self._finished = False

    def on_token(self, token_id: int) -> str | None:
        """Take a token's text. Returns "stop_string" where the sequence ends with it."""
        text = self._special_stops.push(self._detokenizer.push(token_id))
        text += self._special_stops.push(self._vocabulary.special_text(token_id), printed=False)
        self._add(self._stops.push(text))
        return "stop_string" if self._stopped else None

    def on_end(self, token_id: int) -> str | None:
        """Take the token that ends the sequence, which is no text but may complete a stop string, as `on_token`."""
        self._add(self._stops.push(self._special_stops.push(self._vocabulary.special_text(token_id), printed=False)))
        return "stop_string" if self._stopped else None

    def finish(self) -> None:
        """Nothing more comes: what was held back is text."""
        if not self._finished and not self._stops.stopped:
            if not self._special_stops.stopped:
                text = self._special_stops.push(self._detokenizer.finish())
                self._add(self._stops.push(text + self._special_stops.finish()))
            self._add(self._stops.finish())
        self._finished = True

    @property
    def _stopped(self) -> bool:
        return self._stops.stopped or self._special_stops.stopped

    @property
    def waiting(self) -> bool:
        """Returns whether there is text that `take` has not given."""
        return self._taken < len(self._pieces)

    def take(self) -> str:
        """The text since the last call."""
        text = "".join(self._pieces[self._taken :])
        self._taken = len(self._pieces)
        return text

    @property
    def text(self) -> str:
        """All text so far."""
        return "".join(self._pieces)

    def _add(self, text: str) -> None:
        if text:
            self._pieces.append(text)


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
        """Returns the text that was kept back, once nothing more comes."""
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
