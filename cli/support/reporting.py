"""Reports of the commands that make something of a source, the same for all of them."""

import argparse
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sharkpack.cli.support.console import write_json, write_note, write_text
from sharkpack.cli.support.environment import require_compiler, without_warnings
from sharkpack.cli.support.quantization import (
    perplexity_change,
    quantization_json,
    show_quantization,
    write_quantization_report,
)

if TYPE_CHECKING:
    from sharkpack.bundler.progress import Progress
    from sharkpack.bundler.quantize import QuantizationReport
    from sharkpack.cli.support.perplexity_change import PerplexityChange


class Compiled(Protocol):
    """A report of what was compiled and written. `warnings`: what did not stop it, a sentence each."""

    @property
    def warnings(self) -> tuple[str, ...]: ...

    @property
    def quantization(self) -> "QuantizationReport | None": ...


Report = TypeVar("Report", bound=Compiled)


def compile_and_report(
    arguments: argparse.Namespace,
    make: "Callable[[argparse.Namespace, Progress], Report]",
    fields: Callable[[Report], dict[str, Any]],
    show: Callable[[Report], None],
) -> int:
    """Compile and write with `make`, then say what was made, as `write_report` does. The command's exit status."""
    require_compiler()
    # Imports and vocabularies make objects by the million, hardly any of them garbage: look for it less often.
    gc.set_threshold(200_000, 20, 100)
    from sharkpack.cli.support.progress import show_progress

    with without_warnings():
        with show_progress(quiet=arguments.quiet) as progress:
            report = make(arguments, progress)
        change = perplexity_change(arguments)
    for warning in report.warnings:
        write_note(f"warning: {warning}")
    write_report(arguments, report.quantization, change, lambda: fields(report), lambda: show(report))
    return 0


def write_report(
    arguments: argparse.Namespace,
    quantization: "QuantizationReport | None",
    change: "PerplexityChange | None",
    fields: Callable[[], dict[str, Any]],
    show: Callable[[], None],
) -> None:
    """Say what was made as the arguments have it: `fields` and the quantisation as JSON, or what `show` prints and
    then the quantisation, or nothing."""
    if quantization is not None and arguments.report is not None:
        write_quantization_report(quantization, arguments.report)
    if arguments.json:
        errors = None if quantization is None else quantization_json(quantization, change)
        write_json(fields() | {"quantization": errors})
    elif not arguments.quiet:
        show()
        if quantization is not None:
            write_text("\n")
            show_quantization(quantization, change, verbose=arguments.verbose)
