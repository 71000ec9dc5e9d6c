"""`sharkpack export`: what a bundle is made from, as files for IREE's own tools."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharkpack.cli.support.build_options import add_program_arguments, add_report_arguments, read_options
from sharkpack.cli.support.console import format_bytes, format_seconds, write_table, write_text
from sharkpack.cli.support.reporting import compile_and_report

if TYPE_CHECKING:
    from sharkpack.bundler.export import ExportReport
    from sharkpack.bundler.progress import Progress

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
    return compile_and_report(arguments, _export, _fields, _show)


def _export(arguments: argparse.Namespace, progress: "Progress") -> "ExportReport":
    from sharkpack.bundler.export import export

    return export(read_options(arguments), arguments.output, progress)


def _fields(report: "ExportReport") -> dict[str, Any]:
    return {
        "path": str(report.folder),
        "files": dict(report.files),
        "step_seconds": dict(report.step_seconds),
        "warnings": list(report.warnings),
    }


def _show(report: "ExportReport") -> None:
    rows = [(name, format_bytes(size)) for name, size in report.files.items()]
    write_table((str(report.folder), "size"), rows, numeric=("size",))
    write_text(
        f"\n{format_seconds(sum(report.step_seconds.values()))} in all; sh {report.folder}/commands.sh runs it\n"
    )
