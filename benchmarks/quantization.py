"""`python -m benchmarks.quantization`: what quantising costs, with and without the importance that is measured.

Mean KL(before || after) over 256 positions of real text, both by the recipe in torch and float32. A GGUF's weights lie
on the grid of their own type already, which flatters a finer one: each quantised weight is first moved by up to half a
step of 4 bits, at random, in the place of what rounding took away (--as-stored: they stay where they are).
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from tokenizers import Tokenizer

from benchmarks.command import run_command
from benchmarks.llama_cpp_logits import Floats, divergences, normalise
from benchmarks.models import DEMO, NAMES, find_model
from benchmarks.processes import ROOT, WORK
from sharkpack.bundler.convert import ConvertOptions, convert_model
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.bundler.reference import open_reference
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.runtime_shim.executor.protocol import SequenceChunk

POSITIONS = 256
BLOCK = 32


def main(words: list[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantization", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=[DEMO], metavar="MODEL", help=f"GGUF files, or {', '.join(NAMES)}")
    add("--types", nargs="+", default=["q8_0", "q5_0", "q4_0", "q4_1"], metavar="TYPE", help="as of --quantize")
    add("--text", type=Path, default=ROOT / "docs" / "format.md", metavar="FILE", help="default: docs/format.md")
    add("--as-stored", action="store_true", help="leave the weights where they are")
    add("--json", type=Path, default=WORK / "quantization.json", metavar="FILE")
    arguments = parser.parse_args(words)
    console = Console(highlight=False)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in arguments.models:
        found[name] = measure(find_model(name).path, arguments)
        for scheme, values in found[name].items():
            listed = ", ".join(f"{how} {value:.5f}" for how, value in values.items())
            console.print(f"{name} {scheme}: {listed}", markup=False, soft_wrap=True)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(model: Path, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """The mean divergence by type, without an importance matrix ("plain") and with the one that is measured."""
    text = arguments.text.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        exact = Path(scratch) / "exact.gguf"
        whole = QuantizeOptions(scheme="f32", requantize=True)
        convert_model(ConvertOptions(source=str(model), output=exact, quantize=whole), SilentProgress())
        if not arguments.as_stored:
            move_weights(model, exact)
        before = log_probabilities(exact, None, text)
        return {
            scheme: {
                how: float(divergences(before, log_probabilities(exact, options, text)).mean())
                for how, options in (
                    ("plain", QuantizeOptions(scheme=scheme)),
                    ("measured", QuantizeOptions(scheme=scheme, measure=True)),
                )
            }
            for scheme in arguments.types
        }


def move_weights(model: Path, exact: Path) -> None:
    """Move each weight in `exact`, float32, that `model` has quantised, by up to half of a 15th of its block's span."""
    random = np.random.default_rng(0)
    with GGUFFile.open(model) as stored, GGUFFile.open(exact) as file:
        for name, tensor in file.tensors.items():
            if stored.tensors[name].type_name in ("F32", "F16", "BF16"):
                continue
            values = np.memmap(exact, np.float32, "r+", tensor.offset, tensor.shape).reshape(-1, BLOCK)
            step = np.ptp(values, axis=1, keepdims=True) / 15
            values += (random.random(values.shape, np.float32) - np.float32(0.5)) * step


def log_probabilities(source: Path, quantize: QuantizeOptions | None, text: str) -> Floats:
    """At the last 256 positions of the text's first 512 tokens: [256, vocabulary]."""
    reference = open_reference(str(source), context=None, threads=None, progress=SilentProgress(), quantize=quantize)
    tokens = Tokenizer.from_str(reference.tokenizer_json.decode()).encode(text, add_special_tokens=False).ids
    program = reference.program
    size = program.signature.page_size
    pages = list(range(2 * POSITIONS // size))
    program.call("prefill", [SequenceChunk(tokens[:POSITIONS], 0, pages)])
    return normalise(
        program.score(SequenceChunk(tokens[POSITIONS : 2 * POSITIONS], POSITIONS, pages)).astype(np.float64)
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
