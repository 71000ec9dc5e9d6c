"""Continuous batching: which sequences compute which tokens next, in which pages. Knows no text and no device."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.engine.pages import PagePool
from sharkpack.runtime_shim.engine.sequence import Sequence, State
from sharkpack.runtime_shim.executor.arguments import Row
from sharkpack.runtime_shim.executor.compiled import Entry, Logits
from sharkpack.runtime_shim.executor.protocol import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of the program: the sequences that take part and how many tokens each computes."""

    entry: Entry
    sequences: tuple[Sequence, ...]
    counts: tuple[int, ...]


class Scheduler:
    """Admits prompts while pages last, prefills them in chunks, decodes together, and queues what does not fit."""

    def __init__(self, program: Executor, pool: PagePool, *, context_length: int, prefill_chunk: int) -> None:
        self._program = program
        self._pool = pool
        self._page_size = program.signature.page_size
        self._sizes = sorted(program.signature.batch_sizes, reverse=True)
        self._context_length = context_length
        self._prefill_chunk = prefill_chunk
        self._waiting: deque[Sequence] = deque()
        self._running: deque[Sequence] = deque()
        self._decoded_last = True
        self._arrivals = 0

    @property
    def busy(self) -> bool:
        """Whether there is anything left to do."""
        return bool(self._waiting or self._running)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence. Raises SharkpackError for one that could never have its pages."""
        request = sequence.request
        longest = min(len(request.prompt_ids) + request.max_tokens, self._context_length)
        if self._pages_for(longest) > self._pool.capacity:
            raise SharkpackError(
                f"{longest} tokens need {self._pages_for(longest)} pages and the cache has {self._pool.capacity}: "
                "ask for more cache pages or fewer tokens"
            )
        sequence.arrival = self._arrivals
        self._arrivals += 1
        self._waiting.append(sequence)

    def cancel(self, sequence: Sequence, reason: str = "cancelled") -> None:
        """End a sequence now and free its pages. Does nothing to one that has ended."""
        if sequence.state is State.WAITING and sequence in self._waiting:
            self._waiting.remove(sequence)
        if sequence.state is State.RUNNING:
            self._running.remove(sequence)
        if sequence.state is not State.FINISHED:
            self._finish(sequence, reason)

    def step(self) -> Step | None:
        """Schedule, run, postprocess: one call of the program. None when there is nothing to do."""
        step = self._schedule()
        if step is None:
            return None
        started = time.perf_counter()
        logits = self._run(step)
        elapsed = time.perf_counter() - started
        for sequence in step.sequences:
            sequence.prefill_seconds += 0.0 if sequence.sampled else elapsed
        self._postprocess(step, logits)
        return step

    def logits(self, token_ids: Iterable[int]) -> Logits:
        """A copy of the logits (f32 [V]) after these tokens, computed apart from what is queued."""
        tokens = list(token_ids)
        with self._borrowed_pages(len(tokens)) as pages:
            logits = self._prefill(tokens, pages)
            last: Logits = logits[0].copy()
            return last

    def score(self, token_ids: Iterable[int], first: int) -> Generator[Logits, None, None]:
        """Logits (f32 [rows, V]) after each token from the one at `first` on, some rows at a time.

        They are the device's memory, which the next call of the program overwrites.
        """
        tokens = list(token_ids)
        with self._borrowed_pages(len(tokens)) as pages:
            if first:
                self._prefill(tokens[:first], pages)
            each = self._program.scored_tokens
            for start in range(first, len(tokens), each):
                yield self._program.score(Row(tokens[start : start + each], start, pages))

    @contextmanager
    def _borrowed_pages(self, tokens: int) -> Iterator[list[int]]:
        pages = self._pool.allocate(self._pages_for(tokens))
        try:
            yield pages
        finally:
            self._pool.release(pages)

    def _prefill(self, tokens: list[int], pages: list[int]) -> Logits:
        chunk = self._chunk(self._sizes[-1])
        for start in range(0, len(tokens), chunk):
            logits = self._program.call("prefill", [Row(tokens[start : start + chunk], start, pages)])
        return logits

    # -- schedule

    def _schedule(self) -> Step | None:
        self._tidy()
        self._admit()
        prefilling: list[Sequence] = []
        decoding: list[Sequence] = []
        for sequence in self._running:
            (decoding if sequence.pending == 1 else prefilling).append(sequence)
        # A long prompt does not silence those who are talking: chunks and decode steps take turns.
        if prefilling and (self._decoded_last or not decoding):
            self._decoded_last = False
            return self._prefill_step(prefilling)
        self._decoded_last = True
        return self._decode_step(decoding) if decoding else None

    def _tidy(self) -> None:
        """End what nobody will read, and compute again what an interrupt (Ctrl-C) kept from being sampled."""
        for sequence in [each for each in (*self._waiting, *self._running) if each.abandoned]:
            self.cancel(sequence)
        for sequence in self._running:
            sequence.computed = min(sequence.computed, len(sequence.tokens) - 1)

    def _admit(self) -> None:
        """Move sequences to running while their tokens, and one more, have pages."""
        while self._waiting:
            sequence = self._waiting[0]
            needed = self._pages_for(min(len(sequence.tokens) + 1, self._context_length))
            if needed > self._pool.available:
                return
            self._waiting.popleft()
            sequence.pages = self._pool.allocate(needed)
            sequence.state = State.RUNNING
            self._running.append(sequence)

    def _prefill_step(self, sequences: list[Sequence]) -> Step:
        """As many rows as an exported batch takes without computing much padding; else the first alone."""
        for size in self._sizes:
            rows = sequences[:size]
            chunk = self._chunk(size)
            counts = tuple(min(sequence.pending, chunk) for sequence in rows)
            if size == self._sizes[-1] or (len(rows) == size and 4 * sum(counts) >= 3 * size * max(counts)):
                break
        return Step(entry="prefill", sequences=tuple(rows), counts=counts)

    def _decode_step(self, sequences: list[Sequence]) -> Step | None:
        rows: list[Sequence] = []
        for sequence in sequences[: self._sizes[0]]:
            if sequence.state is State.RUNNING and self._grow(sequence):
                rows.append(sequence)
        rows = [sequence for sequence in rows if sequence.state is State.RUNNING]
        if len(rows) < len(self._running):
            for sequence in rows:  # to the back: with more than a batch holds, all have their turn
                self._running.remove(sequence)
                self._running.append(sequence)
        return Step(entry="decode", sequences=tuple(rows), counts=(1,) * len(rows)) if rows else None

    def _grow(self, sequence: Sequence) -> bool:
        """Give the sequence the page of its next position, taking it from the youngest if need be."""
        missing = self._pages_for(len(sequence.tokens)) - len(sequence.pages)
        while missing > self._pool.available:
            youngest = max(self._running, key=lambda each: each.arrival)
            self._preempt(youngest)
            if youngest is sequence:
                return False
        sequence.pages += self._pool.allocate(missing) if missing > 0 else []
        return True

    def _preempt(self, sequence: Sequence) -> None:
        """Back to the head of the queue; what it had computed is computed again when there is room."""
        self._running.remove(sequence)
        self._pool.release(sequence.pages)
        sequence.pages, sequence.computed, sequence.state = [], 0, State.WAITING
        self._waiting.appendleft(sequence)

    # -- run

    def _run(self, step: Step) -> Logits:
        rows = [
            Row(sequence.tokens[sequence.computed : sequence.computed + count], sequence.computed, sequence.pages)
            for sequence, count in zip(step.sequences, step.counts, strict=True)
        ]
        return self._program.call(step.entry, rows)

    # -- postprocess

    def _postprocess(self, step: Step, logits: Logits) -> None:
        for row, (sequence, count) in enumerate(zip(step.sequences, step.counts, strict=True)):
            sequence.computed += count
            if sequence.pending:
                continue  # a chunk in the middle of a prompt
            try:
                token = sequence.sampler.choose(logits[row], sequence.tokens)
            except SharkpackError:
                self.cancel(sequence, "error")
                raise
            reason = sequence.accept(token, self._context_length)
            if reason is not None:
                self._running.remove(sequence)
                self._finish(sequence, reason)

    def _finish(self, sequence: Sequence, reason: str) -> None:
        self._pool.release(sequence.pages)
        sequence.pages, sequence.state, sequence.finish_reason = [], State.FINISHED, reason

    # -- sizes

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self._page_size)

    def _chunk(self, rows: int) -> int:
        """Tokens a row in one prefill call: the limit is for all rows together, so that a step takes about as long."""
        return max(1, self._prefill_chunk // rows)
