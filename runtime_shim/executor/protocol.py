"""What an engine asks of whatever computes: a compiled program does it, and so may anything else."""

from collections.abc import Sequence
from typing import Protocol

from sharkpack.formats.archive.signature import Signature
from sharkpack.runtime_shim.executor.arguments import Row
from sharkpack.runtime_shim.executor.compiled import Entry, Logits


class Executor(Protocol):
    """As `sharkpack.runtime_shim.executor.compiled.Program`, which says what each of these means."""

    @property
    def signature(self) -> Signature: ...
    @property
    def cache_pages(self) -> int: ...
    @property
    def scored_tokens(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def call(self, entry: Entry, rows: Sequence[Row]) -> Logits: ...
    def score(self, row: Row) -> Logits: ...
    def close(self) -> None: ...
