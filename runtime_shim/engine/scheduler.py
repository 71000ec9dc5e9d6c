"""Continuous batching: which sequences compute which tokens next, in which pages. Knows no text and no device."""

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sharkpack.runtime_shim.engine.pages import PagePool
from sharkpack.runtime_shim.engine.sequence import SequenceStatus, TokenSequence
from sharkpack.runtime_shim.errors import CacheFullError
from sharkpack.runtime_shim.executor.protocol import Entry, Executor, Logits, SequenceChunk


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledBatch:
    """One call of the executor: the sequences that take part and how many tokens each computes."""

    entry: Entry
    sequences: tuple[TokenSequence, ...]
    counts: tuple[int, ...]


class Scheduler:
    """Admits prompts while pages last, prefills them in chunks, decodes together, and queues what does not fit."""

    def __init__(self, executor: Executor, pool: PagePool, *, context_length: int, prefill_chunk: int) -> None:
        self._executor = executor
        self._pool = pool
        self._page_size = executor.signature.page_size
        self._sizes = sorted(executor.signature.batch_sizes, reverse=True)
        self._context_length = context_length
        self._prefill_chunk = prefill_chunk
        self._waiting: deque[TokenSequence] = deque()
        self._running: deque[TokenSequence] = deque()
        self._decoded_last = True
        self._arrivals = 0

    @property
    def busy(self) -> bool:
        """Returns whether there is anything left to do."""
        return bool(self._waiting or self._running)

    def add(self, sequence: TokenSequence) -> None:
        """Queue a sequence. Raises SharkpackError for one that could never have its pages."""
        request = sequence.request
        longest = min(len(request.prompt_ids) + request.max_tokens, self._context_length)
        if self._pages_for(longest) > self._pool.capacity:
            raise CacheFullError(
                f"{longest} tokens need {self._pages_for(longest)} pages and the cache has {self._pool.capacity}: "
                "give more cache pages or fewer tokens"
            )
        sequence.arrival = self._arrivals
        self._arrivals += 1
        self._waiting.append(sequence)

    def end(self, sequence: TokenSequence, reason: str, error: Exception | None = None) -> None:
        """End a sequence now and free its pages; `error` is why, if it failed. Does nothing to one that has ended."""
        if sequence.status is SequenceStatus.WAITING and sequence in self._waiting:
            self._waiting.remove(sequence)
        if sequence.status is SequenceStatus.RUNNING:
            self._running.remove(sequence)
        if sequence.status is not SequenceStatus.FINISHED:
            self._pool.release(sequence.pages)
            sequence.pages, sequence.status = [], SequenceStatus.FINISHED
            sequence.finish_reason, sequence.error = reason, error

    def step(self) -> ScheduledBatch | None:
        """Schedule, run, postprocess: one call of the executor. None when there is nothing to do.

        Raises nothing of what fails: a sequence's own fault ends that sequence, and the executor's ends all of them.
        """
        batch = self._schedule()
        if batch is None:
            return None
        started = time.perf_counter()
        try:
            logits = self._run(batch)
        except Exception as error:
            for sequence in (*self._running, *self._waiting):
                self.end(sequence, "error", error)
            return batch
        elapsed = time.perf_counter() - started
        for sequence in batch.sequences:
            sequence.prefill_seconds += 0.0 if sequence.sampled else elapsed
        self._postprocess(batch, logits)
        return batch

    def logits(self, token_ids: Iterable[int]) -> Logits:
        """A copy of the logits (f32 [V]) after these tokens, computed apart from what is queued."""
        tokens = list(token_ids)
        with self._borrowed_pages(len(tokens)) as pages:
            logits = self._prefill(tokens, pages)
            last: Logits = logits[0].copy()
            return last

    def score(self, token_ids: Iterable[int], first: int) -> Generator[Logits, None, None]:
        """Logits (f32 [rows, V]) after each token from the one at `first` on, some rows at a time.

        They are the device's memory, which the next call of the executor overwrites.
        """
        tokens = list(token_ids)
        with self._borrowed_pages(len(tokens)) as pages:
            if first:
                self._prefill(tokens[:first], pages)
            each = self._executor.scored_tokens
            for start in range(first, len(tokens), each):
                yield self._executor.score(SequenceChunk(tokens[start : start + each], start, pages))

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
            logits = self._executor.call("prefill", [SequenceChunk(tokens[start : start + chunk], start, pages)])
        return logits

    # -- schedule

    def _schedule(self) -> ScheduledBatch | None:
        self._tidy()
        self._admit()
        prefilling: list[TokenSequence] = []
        decoding: list[TokenSequence] = []
        for sequence in self._running:
            (decoding if sequence.pending == 1 else prefilling).append(sequence)
        # A long prompt does not silence those who are talking: chunks and decode steps take turns.
        if prefilling and (self._decoded_last or not decoding):
            self._decoded_last = False
            return self._prefill_batch(prefilling)
        self._decoded_last = True
        return self._decode_batch(decoding) if decoding else None

    def _tidy(self) -> None:
        """End what nobody will read, and compute again what an interrupt (Ctrl-C) kept from being sampled."""
        for sequence in [each for each in (*self._waiting, *self._running) if each.abandoned]:
            self.end(sequence, "cancelled")
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
            sequence.status = SequenceStatus.RUNNING
            self._running.append(sequence)

    def _prefill_batch(self, sequences: list[TokenSequence]) -> ScheduledBatch:
        """Choose as many rows as an exported batch takes without computing much padding; else the first alone."""
        for size in self._sizes:
            rows = sequences[:size]
            chunk = self._chunk(size)
            counts = tuple(min(sequence.pending, chunk) for sequence in rows)
            if size == self._sizes[-1] or (len(rows) == size and 4 * sum(counts) >= 3 * size * max(counts)):
                break
        return ScheduledBatch(entry="prefill", sequences=tuple(rows), counts=counts)

    def _decode_batch(self, sequences: list[TokenSequence]) -> ScheduledBatch | None:
        rows: list[TokenSequence] = []
        for sequence in sequences[: self._sizes[0]]:
            if sequence.status is SequenceStatus.RUNNING and self._grow(sequence):
                rows.append(sequence)
        rows = [sequence for sequence in rows if sequence.status is SequenceStatus.RUNNING]
        if len(rows) < len(self._running):
            for sequence in rows:  # to the back: with more than a batch holds, all have their turn
                self._running.remove(sequence)
                self._running.append(sequence)
        return ScheduledBatch(entry="decode", sequences=tuple(rows), counts=(1,) * len(rows)) if rows else None

    def _grow(self, sequence: TokenSequence) -> bool:
        """Give the sequence the page of its next position, taking it from the youngest if need be."""
        missing = self._pages_for(len(sequence.tokens)) - len(sequence.pages)
        while missing > self._pool.available:
            youngest = max(self._running, key=lambda each: each.arrival)
            self._preempt(youngest)
            if youngest is sequence:
                return False
        sequence.pages += self._pool.allocate(missing) if missing > 0 else []
        return True

    def _preempt(self, sequence: TokenSequence) -> None:
        """Back to the head of the queue; what it had computed is computed again when there is room."""
        self._running.remove(sequence)
        self._pool.release(sequence.pages)
        sequence.pages, sequence.computed, sequence.status = [], 0, SequenceStatus.WAITING
        self._waiting.appendleft(sequence)

    # -- run

    def _run(self, batch: ScheduledBatch) -> Logits:
        chunks = [
            SequenceChunk(
                sequence.tokens[sequence.computed : sequence.computed + count], sequence.computed, sequence.pages
            )
            for sequence, count in zip(batch.sequences, batch.counts, strict=True)
        ]
        return self._executor.call(batch.entry, chunks)

    # -- postprocess

    def _postprocess(self, batch: ScheduledBatch, logits: Logits) -> None:
        for row, (sequence, count) in enumerate(zip(batch.sequences, batch.counts, strict=True)):
            sequence.computed += count
            if sequence.pending:
                continue  # a chunk in the middle of a prompt
            try:
                token = sequence.sampler.choose(logits[row], sequence.tokens)
                reason = sequence.accept(token, self._context_length)
            except Exception as error:
                self.end(sequence, "error", error)
            else:
                if reason is not None:
                    self.end(sequence, reason)

    # -- sizes

    def _pages_for(self, tokens: int) -> int:
        return -(-tokens // self._page_size)

    def _chunk(self, rows: int) -> int:
        """Tokens a row in one prefill call: the limit is for all rows together, so that a call takes about as long."""
        return max(1, self._prefill_chunk // rows)
