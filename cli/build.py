"""`sharkpack build`: a source model into one .shark file."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharkpack.cli.support.build_options import add_program_arguments, add_report_arguments, read_options
from sharkpack.cli.support.console import format_bytes, format_seconds, write_table, write_text
from sharkpack.cli.support.reporting import compile_and_report

if TYPE_CHECKING:
    from sharkpack.bundler.options import BuildReport
    from sharkpack.bundler.progress import Progress

SUMMARY = "pack a model into one .shark file"
DESCRIPTION = "Compile a model for the machines that will run it, and pack code, weights and tokenizer into one file."
EXAMPLES = """\
examples:
  sharkpack build model.gguf
  sharkpack build SmolLM2-135M-Instruct/     config.json, *.safetensors, tokenizer.json
  sharkpack build hf:HuggingFaceTB/SmolLM2-135M-Instruct
  sharkpack build smollm2-135m               fetched, checked and built: see 'sharkpack models'
  sharkpack build model.gguf -o small.shark --context 4096 --batch-sizes 1,8
  sharkpack build model-f16.gguf --quantize q4_k
  sharkpack build examples/recurrent.py:model    runs the file: see docs/custom-programs.md
  sharkpack build exported/program.mlir          with program.json beside it, and the parameters that this names
  sharkpack build model.gguf --target x86-64-v2 --target x86-64-v4-vnni
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="the model: a GGUF file, a checkpoint's folder, hf:owner/name[@revision][:file], a registered name, or a "
        "program: program.py:factory, or program.mlir with its description",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="default: beside the source, as .shark")
    add_program_arguments(parser)
    parser.add_argument(
        "--no-program",
        action="store_true",
        help="leave out the program that a further target could be compiled from (tens of kilobytes)",
    )
    parser.add_argument("--force", action="store_true", help="replace the output if it exists")
    add_report_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Build, then print what was built."""
    return compile_and_report(arguments, _build, _fields, _show)


def _build(arguments: argparse.Namespace, progress: "Progress") -> "BuildReport":
    from sharkpack.bundler.build import build

    return build(replace(read_options(arguments), program=not arguments.no_program), progress)


def _fields(report: "BuildReport") -> dict[str, Any]:
    return {
        "path": str(report.path),
        "size": report.size,
        "source_size": report.source_size,
        "targets": [
            {"id": each.id, "vmfb_bytes": each.size, "compile_seconds": each.seconds, "cached": each.cached}
            for each in report.targets
        ],
        "step_seconds": dict(report.step_seconds),
        "peak_memory_bytes": report.peak_memory_bytes,
        "warnings": list(report.warnings),
    }


def _show(report: "BuildReport") -> None:
    ratio = report.size / report.source_size if report.source_size else 0.0
    write_text(f"{report.path}  {format_bytes(report.size)}, {ratio:.2f} times the source\n\n")
    rows = [
        (each.id, format_bytes(each.size), "cached" if each.cached else format_seconds(each.seconds))
        for each in report.targets
    ]
    write_table(("target", "code", "compiled in"), rows, numeric=("code", "compiled in"))
    steps = ", ".join(f"{name} {format_seconds(seconds)}" for name, seconds in report.step_seconds.items())
    total = format_seconds(sum(report.step_seconds.values()))
    write_text(f"\n{total} in all ({steps}); peak memory {format_bytes(report.peak_memory_bytes)}\n")
