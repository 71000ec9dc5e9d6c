"""`sharkpack convert`: a source model into a GGUF file or an IREE parameter archive, quantised or as it is."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharkpack.cli.support.console import format_bytes, format_seconds, write_note, write_text
from sharkpack.cli.support.environment import require_compiler
from sharkpack.cli.support.quantization import add_quantization_arguments, perplexity_change, read_quantize_options
from sharkpack.cli.support.reporting import write_report

if TYPE_CHECKING:
    from sharkpack.bundler.convert import ConvertReport

SUMMARY = "write a model as GGUF or IRPA, quantised or as it is"
DESCRIPTION = (
    "Write a model as a GGUF file, which llama.cpp reads too, or as an IREE parameter archive of its tensors: a GGUF "
    "keeps metadata and tokenizer, an archive has tensors alone (quantised ones in GGML's blocks)."
)
EXAMPLES = """\
examples:
  sharkpack convert checkpoint-folder -o model.gguf
  sharkpack convert model-f16.gguf -o model-q4_k_m.gguf --quantize q4_k_m --imatrix imatrix.gguf
  sharkpack convert model.gguf -o parameters.irpa --quantize f32
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("source", metavar="SOURCE", help="the model, as 'sharkpack build' takes it")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        required=True,
        help="ends in .gguf or .irpa, which says what to write",
    )
    add_quantization_arguments(parser)
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    parser.add_argument("--json", action="store_true", help="print the report as one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Convert, then print what was written."""
    from sharkpack.bundler.convert import ConvertOptions, convert_model
    from sharkpack.cli.support.progress import show_progress

    options = ConvertOptions(
        source=arguments.source,
        output=arguments.output,
        quantize=read_quantize_options(arguments),
        force=arguments.force,
    )
    if arguments.text is not None:
        require_compiler()
    with show_progress(quiet=arguments.quiet) as progress:
        report = convert_model(options, progress)
    change = perplexity_change(arguments)
    for warning in report.warnings:
        write_note(f"warning: {warning}")
    write_report(arguments, report.quantization, change, fields=lambda: _fields(report), show=lambda: _show(report))
    return 0


def _fields(report: "ConvertReport") -> dict[str, Any]:
    return {
        "path": str(report.path),
        "size": report.size,
        "source_size": report.source_size,
        "tensors": report.tensors,
        "warnings": list(report.warnings),
        "step_seconds": report.step_seconds,
    }


def _show(report: "ConvertReport") -> None:
    seconds = format_seconds(sum(report.step_seconds.values()))
    write_text(f"{report.path}  {format_bytes(report.size)}, {report.tensors} tensors, in {seconds}\n")
