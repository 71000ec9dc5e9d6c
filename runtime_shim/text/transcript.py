"""The text of one sequence: what has come, what may be shown, and whether a stop string ended it."""

from collections.abc import Sequence

from sharkpack.runtime_shim.text.detokenizer import Detokenizer, Vocabulary
from sharkpack.runtime_shim.text.stops import StopFilter


class Transcript:
    """Listens to tokens and gathers text, less whatever may yet turn out to be part of a stop string."""

    def __init__(self, vocabulary: Vocabulary, stop: Sequence[str]) -> None:
        self._detokenizer = Detokenizer(vocabulary)
        self._stops = StopFilter(stop)
        self._pieces: list[str] = []
        self._taken = 0
        self._finished = False

    def on_token(self, token_id: int) -> str | None:
        """Take a token's text. Returns "stop_string" where the sequence ends with it."""
        self._add(self._stops.push(self._detokenizer.push(token_id)))
        return "stop_string" if self._stops.stopped else None

    def finish(self) -> None:
        """Nothing more comes: what was held back is text."""
        if not self._finished and not self._stops.stopped:
            self._add(self._stops.push(self._detokenizer.finish()))
            self._add(self._stops.finish())
        self._finished = True

    @property
    def waiting(self) -> bool:
        """Whether there is text that `take` has not given."""
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
