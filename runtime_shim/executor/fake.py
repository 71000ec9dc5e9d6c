"""An executor without a device or a compiler: what an engine does with it can be seen, and made to fail.

The next token is a function of the tokens before it, which are read back from the pages that they were written to.
"""

from collections.abc import Callable, Sequence

import numpy as np

from sharkpack.formats.archive.generate_signature import GenerateSignature
from sharkpack.runtime_shim.executor.protocol import Entry, Logits, SequenceChunk, check_chunks

NextToken = Callable[[Sequence[int]], int | None]
_UNWRITTEN = -1


class FakeExecutor:
    """An Executor whose argmax after `tokens` is `next_token(tokens)`, with a logit of 10 among zeros.

    None as the next token makes the row NaN, as broken code would. It holds its caller to the protocol, by
    AssertionError: pages of a call belong to one sequence each and are not reserved ones, what a sequence attends to
    was written, and logits are read before the next call, which overwrites them with NaN.
    """

    def __init__(
        self,
        signature: GenerateSignature,
        *,
        cache_pages: int,
        next_token: NextToken | None = None,
        prefill_chunk: int = 512,
        scored_tokens: int = 64,
    ) -> None:
        self.signature = signature
        self.cache_pages = cache_pages
        self.scored_tokens = scored_tokens
        self.closed = False
        self.calls = 0
        self._next_token = next_token or self._default_next_token
        self._prefill_chunk = prefill_chunk
        self._cells = np.full((cache_pages, signature.page_size), _UNWRITTEN, np.int64)
        self._lent: Logits | None = None
        self._fault: Exception | None = None
        self._calls_before_fault = 0

    def fail(self, error: Exception, *, after: int = 0) -> None:
        """Raise `error` once, in the call that comes after `after` others."""
        self._fault, self._calls_before_fault = error, after

    def call(self, entry: Entry, chunks: Sequence[SequenceChunk]) -> Logits:
        """Compute as `Executor.call`."""
        if entry == "decode":
            _hold(all(len(chunk.tokens) == 1 for chunk in chunks), "a decode call takes one token a sequence")
        return self._lend([self._history(chunk) for chunk in self._compute(chunks)])

    def score(self, chunk: SequenceChunk) -> Logits:
        """Compute as `Executor.score`."""
        _hold(len(chunk.tokens) <= self.scored_tokens, "more tokens than a call scores")
        (computed,) = self._compute([chunk])
        history = self._history(computed)
        return self._lend([history[: end + 1] for end in range(chunk.start, len(history))])

    def close(self) -> None:
        """Close as `Executor.close`."""
        self.closed = True

    def _compute(self, chunks: Sequence[SequenceChunk]) -> Sequence[SequenceChunk]:
        """Check the call and write its tokens to their pages."""
        check_chunks(self, chunks)
        self._raise_fault()
        self.calls += 1
        pages = [page for chunk in chunks for page in chunk.pages]
        _hold(len(set(pages)) == len(pages), "a page belongs to two sequences, or twice to one")
        _hold(min(pages) >= self.signature.reserved_pages, "a reserved page belongs to nobody")
        width = max(len(chunk.tokens) for chunk in chunks)
        batch = min(size for size in self.signature.batch_sizes if size >= len(chunks))
        _hold(batch * width <= max(self._prefill_chunk, batch), "more tokens than a call computes, padding included")
        for chunk in chunks:
            for position, token in enumerate(chunk.tokens, chunk.start):
                block, slot = divmod(position, self.signature.page_size)
                self._cells[chunk.pages[block], slot] = token
        return chunks

    def _history(self, chunk: SequenceChunk) -> list[int]:
        """All tokens of the sequence up to the chunk's last, as the pages have them."""
        tokens: list[int] = self._cells[chunk.pages].reshape(-1)[: chunk.start + len(chunk.tokens)].tolist()
        _hold(_UNWRITTEN not in tokens, "a sequence attends to positions that were never computed")
        return tokens

    def _lend(self, histories: Sequence[Sequence[int]]) -> Logits:
        if self._lent is not None:
            self._lent.fill(np.nan)
        self._lent = np.zeros((len(histories), self.signature.vocab_size), np.float32)
        for row, history in zip(self._lent, histories, strict=True):
            token = self._next_token(history)
            if token is None:
                row.fill(np.nan)
            else:
                row[token] = 10.0
        return self._lent

    def _raise_fault(self) -> None:
        if self._fault is None:
            return
        if self._calls_before_fault:
            self._calls_before_fault -= 1
            return
        fault, self._fault = self._fault, None
        raise fault

    def _default_next_token(self, tokens: Sequence[int]) -> int:
        """Depends on every token and its position, so that a wrong page, position or order gives another."""
        mixed = sum((token + 1) * (position + 1) ** 2 for position, token in enumerate(tokens))
        return mixed * 2654435761 % (1 << 32) % self.signature.vocab_size


def _hold(condition: bool, mistake: str) -> None:
    if not condition:
        raise AssertionError(mistake)
