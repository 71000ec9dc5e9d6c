"""Opens a bundle's code on a device of this machine, with as large a cache as was asked for or as fits."""

from typing import NamedTuple

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim.bundle.bundle import Bundle
from sharkpack.runtime_shim.device.hal import choose_device, open_device
from sharkpack.runtime_shim.engine.limits import chunk_length, context_length, page_count
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.protocol import Executor


class OpenedExecutor(NamedTuple):
    """An executor, the id of the target that it runs, the device, and that one's threads (0: not a CPU)."""

    executor: Executor
    target: str
    device: str
    threads: int


def open_executor(
    bundle: Bundle,
    device: str,
    target: str | None,
    threads: int | None,
    context: int | None,
    cache_pages: int | None,
    prefill_chunk: int,
) -> OpenedExecutor:
    """Choose, check and load; parameters and errors as of `Engine.open`."""
    selection = bundle.select(device=device, target=target)
    signature = generate_signature(bundle.manifest.signature)
    uri, count = choose_device(selection, threads, explicit=device != "auto")
    length = context_length(signature, context)
    pages, chunk = page_count(signature, length, cache_pages), chunk_length(length, prefill_chunk)
    opened = open_device(uri, count)
    executor = CompiledExecutor(bundle.archive, selection.target, opened, cache_pages=pages, prefill_chunk=chunk)
    return OpenedExecutor(executor, selection.target.id, uri, count)
