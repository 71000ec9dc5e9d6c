"""A source model in the place of a bundle: computed by its recipe in torch, with nothing compiled."""

from collections.abc import Iterator
from contextlib import contextmanager

from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.reference import open_reference
from sharkpack.cli.support.environment import without_warnings
from sharkpack.cli.support.progress import show_progress
from sharkpack.runtime_shim import Engine
from sharkpack.runtime_shim.bundle.in_memory import InMemoryBundle


@contextmanager
def reference_engine(
    source: str,
    *,
    context: int | None,
    threads: int | None,
    quantize: QuantizeOptions | None = None,
    quiet: bool = False,
) -> Iterator[Engine]:
    """An engine that computes with the recipe in torch, over weights that are quantised first if asked for. Raises
    SharkpackError as a build would."""
    with without_warnings():
        with show_progress(quiet=quiet) as progress:
            reference = open_reference(source, context=context, threads=threads, progress=progress, quantize=quantize)
        bundle = InMemoryBundle(reference.manifest, reference.tokenizer_json, reference.chat_templates)
        threads = reference.threads
        with Engine(bundle, reference.program, target="reference", device="torch", threads=threads) as engine:
            yield engine
