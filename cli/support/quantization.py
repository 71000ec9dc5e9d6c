"""The options of a quantisation, which `build` and `convert` share, and how its errors are shown."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharkpack.cli.support.text_file import read_text
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OutputFile

if TYPE_CHECKING:
    from sharkpack.bundler.quantize import QuantizationReport, QuantizeOptions
    from sharkpack.cli.support.perplexity_change import PerplexityChange

_NO_IMATRIX = Path("none")
_HEADINGS = ("tensor", "shape", "from", "to", "relative error")


def add_quantization_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them, in a group of their own."""
    group = parser.add_argument_group("quantisation")
    group.add_argument(
        "--quantize",
        metavar="TYPE",
        type=str.lower,
        help="quantise the weights of an f32, f16 or bf16 model: q8_0, q6_k, q5_k, q4_k, q3_k, q2_k, q5_0, q5_1, q4_0, "
        "q4_1, a variant of llama.cpp's such as q4_k_s or q3_k_l; or f16, bf16, f32",
    )
    group.add_argument(
        "--pure",
        action="store_true",
        help="one type for all matrices; otherwise the output head, the embeddings and what else is delicate get a "
        "finer one, as in llama.cpp",
    )
    group.add_argument(
        "--imatrix",
        metavar="FILE|none",
        type=Path,
        help="what to weigh errors by: an importance matrix of llama-imatrix; by default one is measured, by running "
        "the model on a few random tokens; none weighs nothing, and makes the bytes that llama.cpp makes",
    )
    group.add_argument("--requantize", action="store_true", help="quantise again what is quantised already")
    group.add_argument(
        "--text",
        metavar="FILE",
        type=Path,
        help="measure what quantising does to the perplexity of this text, in torch and float32: exact, and slow",
    )
    group.add_argument("--report", metavar="FILE", type=Path, help="write the error of each tensor, tab-separated")
    group.add_argument("--verbose", action="store_true", help="print the error of each tensor")


def read_quantize_options(arguments: argparse.Namespace) -> "QuantizeOptions | None":
    """Returns the quantisation that the command line gives; SharkpackError for details of none."""
    from sharkpack.bundler.quantize import QuantizeOptions

    if arguments.quantize is None:
        for name in ("pure", "imatrix", "requantize", "text", "report"):
            if getattr(arguments, name):
                raise SharkpackError(f"--{name} goes with --quantize TYPE, which is not given")
        return None
    if arguments.report is not None and not arguments.report.absolute().parent.is_dir():
        raise SharkpackError(
            f"folder {arguments.report.parent} does not exist; make it first, or choose another --report"
        )
    if arguments.text is not None:
        read_text(arguments.text)
    return QuantizeOptions(
        scheme=arguments.quantize,
        pure=arguments.pure,
        imatrix=None if arguments.imatrix == _NO_IMATRIX else arguments.imatrix,
        measure=arguments.imatrix is None,
        requantize=arguments.requantize,
    )


def perplexity_change(arguments: argparse.Namespace) -> "PerplexityChange | None":
    """Returns the change of the given text's perplexity, if there is one; a source may be any that a build takes."""
    options = read_quantize_options(arguments)
    if options is None or arguments.text is None:
        return None
    from sharkpack.cli.support.perplexity_change import measure_perplexity_change

    text = read_text(arguments.text)
    return measure_perplexity_change(arguments.source, options, text, quiet=arguments.quiet)


def quantization_json(report: "QuantizationReport", change: "PerplexityChange | None" = None) -> dict[str, Any]:
    """The report as JSON has it."""
    return {
        "name": report.name,
        "perplexity": None if change is None else change.to_json(),
        "relative_error": report.relative,
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "from": tensor.before,
                "to": tensor.after,
                "weighed": tensor.weighed,
                "relative_error": tensor.relative,
            }
            for tensor in report.tensors
        ],
    }


def show_quantization(report: "QuantizationReport", change: "PerplexityChange | None" = None, *, verbose: bool) -> None:
    """A line or two, and the table of tensors if asked for."""
    from sharkpack.cli.support.console import write_table, write_text

    if verbose:
        write_table(_HEADINGS, _rows(report), numeric=("relative error",))
        write_text("\n")
    write_text(f"{report.name}: {len(report.tensors)} tensors changed, relative error {report.relative:.2%} over all\n")
    if change is not None:
        write_text(f"{change}\n")


def write_quantization_report(report: "QuantizationReport", path: Path) -> None:
    """The table of tensors as tab-separated lines under a heading, at `path`, replacing what is there."""
    lines = ["\t".join(row) for row in (_HEADINGS, *_rows(report))]
    file = OutputFile(path, overwrite=True)
    try:
        file.write(("\n".join(lines) + "\n").encode("utf-8"))
        file.publish()
    finally:
        file.discard()


def _rows(report: "QuantizationReport") -> list[tuple[str, ...]]:
    return [
        (tensor.name, "x".join(map(str, tensor.shape)), tensor.before, tensor.after, f"{tensor.relative:.6f}")
        for tensor in report.tensors
    ]
