"""The rows of a call as the arrays that it takes, padded as docs/format.md says."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]


class BatchRow(Protocol):
    """Protocol for a sequence's part in a call: new tokens, the position of the first, and all its pages so far."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def start(self) -> int: ...
    @property
    def pages(self) -> Sequence[int]: ...


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """Arrays for a batch of N rows: tokens [N, S], start_positions [N], seq_lens [N] and page_table [N, P], int64.

    Rows without a sequence are one token 0 at position 0 of page 0; behind a row's tokens and pages stand zeros.
    """

    tokens: Int64Array
    start_positions: Int64Array
    seq_lens: Int64Array
    page_table: Int64Array

    @classmethod
    def of(cls, rows: Sequence[BatchRow], batch: int) -> "PaddedBatch":
        """New arrays that hold `rows` and no more tokens and pages than the longest has."""
        tokens, pages = max(len(row.tokens) for row in rows), max(len(row.pages) for row in rows)
        shapes = (batch, tokens), (batch,), (batch,), (batch, pages)
        made = cls(*(np.zeros(shape, np.int64) for shape in shapes))
        made.write_tokens(rows)
        made.write_pages(rows)
        return made

    def write_tokens(self, rows: Sequence[BatchRow]) -> None:
        """Write all but the page table; `rows` are not more, nor longer, than there is room for."""
        batch, width = self.tokens.shape
        if width > 1 or len(rows) < batch:
            self.tokens.fill(0)
        for i, row in enumerate(rows):
            count = len(row.tokens)
            self.tokens[i, :count] = row.tokens
            self.start_positions[i] = row.start
            self.seq_lens[i] = row.start + count
        if len(rows) < batch:
            self.start_positions[len(rows) :] = 0
            self.seq_lens[len(rows) :] = 1

    def write_pages(self, rows: Sequence[BatchRow]) -> None:
        """Write the page table."""
        self.page_table.fill(0)
        for i, row in enumerate(rows):
            self.page_table[i, : len(row.pages)] = row.pages

    def by_role(self) -> dict[str, Int64Array]:
        """The arrays by the roles that a manifest's entry points have for them."""
        return {name: getattr(self, name) for name in ("tokens", "start_positions", "seq_lens", "page_table")}
