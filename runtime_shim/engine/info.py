"""Facts of an engine: what it runs, on what, and with how much room."""

from dataclasses import dataclass

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.runtime_shim.executor.protocol import Executor


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """Facts about an engine that hold from its opening to its end.

    model, architecture: the bundle's. target: the id of the code that runs. device: as "local-task". threads: of a
    CPU, 0 elsewhere. load_ms: milliseconds that opening took. context_length: tokens that a sequence may have;
    built_context_length: that one may have with this bundle at most. vocab_size: ids that the model knows.
    cache_pages: pages that all sequences share, of `page_size` tokens each. max_batch: sequences that a call computes.
    prefill_chunk: prompt tokens that a call computes.
    """

    model: str
    architecture: str
    target: str
    device: str
    threads: int
    load_ms: float
    context_length: int
    built_context_length: int
    vocab_size: int
    cache_pages: int
    page_size: int
    max_batch: int
    prefill_chunk: int


def engine_info(
    manifest: Manifest,
    executor: Executor,
    context_length: int,
    prefill_chunk: int,
    *,
    target: str,
    device: str,
    threads: int,
    load_ms: float,
) -> EngineInfo:
    """Returns the facts of a manifest and an executor, and those that neither knows."""
    signature = executor.signature
    return EngineInfo(
        model=manifest.model.name,
        architecture=manifest.model.architecture,
        target=target,
        device=device,
        threads=threads,
        load_ms=load_ms,
        context_length=context_length,
        built_context_length=signature.context_length,
        vocab_size=signature.vocab_size,
        cache_pages=executor.cache_pages - signature.reserved_pages,
        page_size=signature.page_size,
        max_batch=max(signature.batch_sizes),
        prefill_chunk=prefill_chunk,
    )
