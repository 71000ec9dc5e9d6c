"""`sharkpack eval`: how well a bundle predicts a text."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.cli.support.arguments import positive_integer
from sharkpack.cli.support.console import format_bytes, format_seconds, write_json, write_table
from sharkpack.cli.support.text_file import read_text

if TYPE_CHECKING:
    from sharkpack.runtime_shim import Engine
    from sharkpack.runtime_shim.tools.perplexity import Evaluation

SUMMARY = "measure how well a .shark file predicts a text"
DESCRIPTION = (
    "Measure the perplexity of a text and the bits that each of its bytes takes. A text longer than the context is cut "
    "into windows that overlap: each token is scored once, after at least context - stride tokens where there are any."
)
EXAMPLES = """\
examples:
  sharkpack eval model.shark --text book.txt
  sharkpack eval model.shark --text book.txt --context 512 --stride 256 --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("bundle", metavar="FILE", type=Path, help="a .shark file")
    parser.add_argument("--text", metavar="FILE", type=Path, required=True, help="the text, UTF-8")
    parser.add_argument(
        "--context", metavar="TOKENS", type=positive_integer, help="tokens of a window (default: the bundle's context)"
    )
    parser.add_argument(
        "--stride",
        metavar="TOKENS",
        type=positive_integer,
        help="tokens that each window scores but the first (default: half of the context)",
    )
    parser.add_argument("--device", metavar="URI", default="auto", help="see 'sharkpack devices' (default: auto)")
    parser.add_argument("--target", metavar="NAME", help="a target of the bundle (default: the best that runs here)")
    parser.add_argument("--threads", metavar="N", type=positive_integer, help="CPU threads (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Evaluate and print."""
    from sharkpack.runtime_shim import Engine

    text = read_text(arguments.text)
    with Engine.open(
        arguments.bundle, device=arguments.device, target=arguments.target, threads=arguments.threads
    ) as engine:
        started = time.perf_counter()
        evaluation = _evaluate(engine, text, arguments)
        seconds = time.perf_counter() - started
        if arguments.json:
            _print_json(arguments, evaluation, seconds, engine.info.target)
        else:
            _print_table(evaluation, seconds)
    return 0


def _evaluate(engine: "Engine", text: str, arguments: argparse.Namespace) -> "Evaluation":
    from sharkpack.cli.support.progress import show_progress
    from sharkpack.runtime_shim.tools.perplexity import evaluate, plan_evaluation

    plan = plan_evaluation(engine, text, context=arguments.context, stride=arguments.stride)
    with show_progress(quiet=False) as progress, progress.step("tokens", plan.tokens) as step:
        done = 0
        for evaluation in evaluate(engine, plan):
            step.advance(evaluation.tokens - done)
            done = evaluation.tokens
    return evaluation


def _print_json(arguments: argparse.Namespace, evaluation: "Evaluation", seconds: float, target: str) -> None:
    write_json(
        {
            "path": str(arguments.bundle),
            "text": str(arguments.text),
            "target": target,
            "perplexity": evaluation.perplexity,
            "bits_per_byte": evaluation.bits_per_byte,
            "negative_log_likelihood": evaluation.negative_log_likelihood,
            "tokens": evaluation.tokens,
            "text_tokens": evaluation.text_tokens,
            "text_bytes": evaluation.text_bytes,
            "windows": evaluation.windows,
            "context": evaluation.context,
            "stride": evaluation.stride,
            "seconds": round(seconds, 3),
        }
    )


def _print_table(evaluation: "Evaluation", seconds: float) -> None:
    rows = [
        ("perplexity", f"{evaluation.perplexity:.4f}"),
        ("bits a byte", f"{evaluation.bits_per_byte:.4f}"),
        ("tokens scored", f"{evaluation.tokens} of {evaluation.text_tokens}, {format_bytes(evaluation.text_bytes)}"),
        ("windows", f"{evaluation.windows} of at most {evaluation.context} tokens, stride {evaluation.stride}"),
        ("time", f"{format_seconds(seconds)}, {evaluation.tokens / max(seconds, 1e-9):.1f} tokens/s"),
    ]
    write_table(("what", "value"), rows)
