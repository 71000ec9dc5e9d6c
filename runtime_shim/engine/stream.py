"""One answer as it comes: iterate for pieces of text, or take the result. Knows tokens and text, no device."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sharkpack.runtime_shim.engine.info import EngineInfo
from sharkpack.runtime_shim.engine.sequence import SequenceStatus, TokenSequence
from sharkpack.runtime_shim.text.transcript import Transcript


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The result of a prompt.

    finish_reason: "stop" (an end token), "length" (max_tokens or the context), "stop_string" or "cancelled".
    timings_ms: load (opening the engine), prefill (the calls that computed the prompt), first_token (from the request
    to its first token), decode (from the first token to the last). tokens_per_second: prefill, decode; 0 where none.
    token_ids: what was generated, without the end token. text: without special tokens and without the stop string.
    """

    text: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    finish_reason: str
    timings_ms: Mapping[str, float]
    tokens_per_second: Mapping[str, float]
    target: str


class Stream(Iterator[str]):
    """A request under way. Each `next` runs the engine until there is text; others under way move on with it.

    `cancel` ends it; so does dropping the last reference to it.
    """

    def __init__(
        self,
        sequence: TokenSequence,
        transcript: Transcript,
        *,
        step: Callable[[], object],
        cancel: Callable[[TokenSequence], None],
        info: EngineInfo,
        started: float,
    ) -> None:
        """For `Engine.generate`. step: moves on all that the engine has under way. started: by time.perf_counter."""
        self._sequence = sequence
        self._step = step
        self._cancel = cancel
        self._info = info
        self._transcript = transcript
        self._started = started

    def __del__(self) -> None:
        # Only a mark, since this may run anywhere: the scheduler acts on it before its next step.
        self._sequence.abandoned = True

    @property
    def finished(self) -> bool:
        """Returns whether it has ended; text may still be waiting to be read."""
        return self._sequence.status is SequenceStatus.FINISHED

    def __next__(self) -> str:
        """The next piece of text: never empty, never half a character.

        After the text that came before it, raises what ended this answer: its own fault, or the device's.
        """
        while not self._transcript.waiting and not self.finished:
            self._step()
        if self.finished:
            self._transcript.finish()
        text = self._transcript.take()
        if text:
            return text
        self._raise_error()
        raise StopIteration

    def cancel(self) -> None:
        """End now, with what there is so far. Does nothing once it has ended."""
        self._cancel(self._sequence)

    @property
    def text(self) -> str:
        """All text so far, read or not."""
        return self._transcript.text

    def result(self) -> Completion:
        """Run to the end and say what came of it. Raises what ended this answer, if anything failed."""
        while not self.finished:
            self._step()
        self._transcript.finish()
        self._raise_error()
        sequence = self._sequence
        prompt_ids, token_ids = sequence.request.prompt_ids, tuple(sequence.generated_ids)
        first = sequence.first_token_at or time.perf_counter()
        decode = sequence.last_token_at - first if sequence.last_token_at else 0.0
        return Completion(
            text=self._transcript.text,
            prompt_ids=prompt_ids,
            token_ids=token_ids,
            finish_reason=sequence.finish_reason or "",
            timings_ms={
                "load": self._info.load_ms,
                "prefill": sequence.prefill_seconds * 1e3,
                "first_token": (first - self._started) * 1e3,
                "decode": decode * 1e3,
            },
            tokens_per_second={
                "prefill": _rate(len(prompt_ids), sequence.prefill_seconds),
                "decode": _rate(sequence.sampled - 1, decode),
            },
            target=self._info.target,
        )

    def _raise_error(self) -> None:
        if self._sequence.error is not None:
            raise self._sequence.error


def _rate(tokens: int, seconds: float) -> float:
    return tokens / seconds if seconds > 0 and tokens > 0 else 0.0
