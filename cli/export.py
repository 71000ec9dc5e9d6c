"""`sharkpack export`: what a bundle is made from, as files for IREE's own tools."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.cli.build import (
    add_program_arguments,
    add_report_arguments,
    read_options,
    require_compiler,
    stop_when_terminated,
    without_warnings,
)
from sharkpack.cli.console import format_bytes, format_seconds, write_json, write_note, write_table, write_text
from sharkpack.cli.quantization import (
    perplexity_change,
    quantization_json,
    show_quantization,
    write_quantization_report,
)

if TYPE_CHECKING:
    from sharkpack.bundler.export import ExportReport
    from sharkpack.cli.perplexity_change import PerplexityChange

SUMMARY = "write a model as files for IREE's own tools"
DESCRIPTION = (
    "Write a model's program (MLIR), weights (IRPA), code (vmfb), tokenizer and signature (config.json) to a folder, "
    "with commands.sh, which compiles and runs them with iree-compile and iree-run-module."
)
EXAMPLES = """\
examples:
  sharkpack export model.gguf -o model
  sharkpack export model.gguf -o model --target x86-64-v3 --batch-sizes 1
  sh model/commands.sh    compile again, then prefill and decode an example
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="the model, as 'sharkpack build' takes it")
    parser.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="a folder, new or empty")
    add_program_arguments(parser)
    add_report_arguments(parser)
    parser.set_defaults(force=False)


def execute(arguments: argparse.Namespace) -> int:
    """Export, then print what was written."""
    require_compiler()
    with stop_when_terminated(), without_warnings():
        report = _export(arguments)
        change = perplexity_change(arguments)
    for warning in report.warnings:
        write_note(f"warning: {warning}")
    if report.quantization is not None and arguments.report is not None:
        write_quantization_report(report.quantization, arguments.report)
    if arguments.json:
        _print_json(report, change)
    elif not arguments.quiet:
        _print_table(report, change, verbose=arguments.verbose)
    return 0


def _export(arguments: argparse.Namespace) -> "ExportReport":
    from sharkpack.bundler.export import export
    from sharkpack.cli.progress import show_progress

    with show_progress(quiet=arguments.quiet) as progress:
        return export(read_options(arguments), arguments.output, progress)


def _print_json(report: "ExportReport", change: "PerplexityChange | None") -> None:
    quantization = None if report.quantization is None else quantization_json(report.quantization, change)
    write_json(
        {
            "path": str(report.folder),
            "files": dict(report.files),
            "step_seconds": dict(report.step_seconds),
            "warnings": list(report.warnings),
            "quantization": quantization,
        }
    )


def _print_table(report: "ExportReport", change: "PerplexityChange | None", *, verbose: bool) -> None:
    rows = [(name, format_bytes(size)) for name, size in report.files.items()]
    write_table((str(report.folder), "size"), rows, numeric=("size",))
    write_text(
        f"\n{format_seconds(sum(report.step_seconds.values()))} in all; sh {report.folder}/commands.sh runs it\n"
    )
    if report.quantization is not None:
        write_text("\n")
        show_quantization(report.quantization, change, verbose=verbose)
