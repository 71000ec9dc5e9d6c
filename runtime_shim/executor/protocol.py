"""Protocol for a model executor: what computes the logits of sequences whose keys and values lie in pages.

An executor knows no requests and no text; which pages are free is the engine's to know.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from sharkpack.formats.archive.generate_signature import GenerateSignature
from sharkpack.runtime_shim.errors import EngineClosedError, RequestError

Entry = Literal["prefill", "decode"]
Logits = npt.NDArray[np.float32]


class SequenceChunk(NamedTuple):
    """The part of one sequence that a call computes.

    tokens: the ids to compute. start: the position of the first of them. pages: ids of all pages that hold the
    sequence up to the last of them, in order.
    """

    tokens: list[int]
    start: int
    pages: list[int]


class Executor(Protocol):
    """A model with its cache of pages. Not safe from several threads."""

    @property
    def signature(self) -> GenerateSignature:
        """The program's ABI: batch sizes, page size, context, vocabulary."""
        ...

    @property
    def cache_pages(self) -> int:
        """Pages of the cache, the `signature.reserved_pages` first ones included."""
        ...

    @property
    def scored_tokens(self) -> int:
        """Tokens that one call of `score` takes at most."""
        ...

    @property
    def closed(self) -> bool:
        """Returns whether `close` has been called."""
        ...

    def call(self, entry: Entry, chunks: Sequence[SequenceChunk]) -> Logits:
        """Compute chunks of different sequences. Returns f32 [len(chunks), V], the logits after each one's last token.

        "decode" takes one token a chunk. The array may be the device's memory: read it before the next call. Raises
        SharkpackError where the device fails, and for what the cache or the vocabulary does not hold.
        """
        ...

    def score(self, chunk: SequenceChunk) -> Logits:
        """Compute one chunk. Returns f32 [len(chunk.tokens), V], the logits after each token; else as `call`."""
        ...

    def close(self) -> None:
        """Give everything back; a second call does nothing."""
        ...


def check_chunks(executor: Executor, chunks: Sequence[SequenceChunk]) -> None:
    """Refuse what an executor must not compute: a program trusts its inputs, and would read outside its memory.

    Raises SharkpackError.
    """
    signature = executor.signature
    if executor.closed:
        raise EngineClosedError("the engine is closed")
    if len(chunks) > max(signature.batch_sizes):
        raise RequestError(f"{len(chunks)} sequences and the largest batch is {max(signature.batch_sizes)}")
    for tokens, start, pages in chunks:
        if not tokens:
            raise RequestError("a chunk has no tokens")
        if start < 0:
            raise RequestError(f"the position {start} is before the beginning")
        if start + len(tokens) > len(pages) * signature.page_size:
            raise RequestError(f"{len(pages)} pages do not hold {start} + {len(tokens)} tokens")
        if min(pages) < 0 or max(pages) >= executor.cache_pages:
            raise RequestError(f"a page id is outside the cache of {executor.cache_pages} pages")
        if min(tokens) < 0 or max(tokens) >= signature.vocab_size:
            raise RequestError(f"a token id is outside the vocabulary of {signature.vocab_size}")
