"""`python -m benchmarks.accuracy`: how far sharkpack and llama.cpp, each with its defaults, are from exact arithmetic.

Mean KL(exact || engine) over 256 positions of real text. Exact is the same quantised weights multiplied in float32,
with a float32 cache. llama.cpp computes the text as one prompt; ours decodes it token by token after its first half.
llama.cpp's logits come out rounded (see llama_cpp_logits): "sharkpack" is rounded alike, "rounding alone" is what that
costs by itself, and "sharkpack unrounded" is without it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.command import run_command
from benchmarks.llama_cpp_build import build_once, given
from benchmarks.llama_cpp_logits import Floats, SavedLogits, divergences, normalise, read_logits, round_trip
from benchmarks.models import DEMO, NAMES, Model, find_model
from benchmarks.processes import ROOT, WORK, run
from benchmarks.sharkpack_engine import build_bundle

POSITIONS = 256
TOKENS = 2 * POSITIONS + 2
EXACT = ("--activations", "float32", "--cache-dtype", "f32", "--batch-sizes", "1")
DEFAULT = ("--batch-sizes", "1", "--cache-dtype")


def main(words: list[str]) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=[DEMO], metavar="MODEL", help=f"GGUF files, or {', '.join(NAMES)}")
    add("--text", type=Path, default=ROOT / "docs" / "format.md", metavar="FILE", help="default: docs/format.md")
    add("--cache-dtype", default="f16", metavar="TYPE", help="of our cache: f16 (default), i8 or f32")
    add("--llama-cpp", type=Path, metavar="DIR", help="the folder of its programs; default: fetch and build them once")
    add("--json", type=Path, default=WORK / "accuracy.json", metavar="FILE")
    add("--work", type=Path, default=WORK, metavar="DIR", help="where bundles go (default: build/benchmarks)")
    arguments = parser.parse_args(words)
    console = Console(highlight=False)
    found = {name: measure(find_model(name), arguments) for name in arguments.models}
    for name, values in found.items():
        listed = ", ".join(f"{key} {value:.5f}" for key, value in values.items())
        console.print(f"{name}: {listed}", markup=False)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(model: Model, arguments: argparse.Namespace) -> dict[str, float]:
    """Mean divergences from exact arithmetic; the standard error of each mean; how often the argmax agrees."""
    llama_cpp = given(arguments.llama_cpp) if arguments.llama_cpp else build_once(model.path)
    with tempfile.TemporaryDirectory() as scratch:
        theirs = llama_cpp_logits(llama_cpp.programs, model.path, arguments.text, Path(scratch) / "logits")
        exact = our_logits(model, EXACT, theirs, arguments.work, Path(scratch) / "exact.npy")
        ours = our_logits(model, (*DEFAULT, arguments.cache_dtype), theirs, arguments.work, Path(scratch) / "ours.npy")
    reference = normalise(exact)
    found = {
        "sharkpack": round_trip(ours),
        "llama.cpp": theirs.log_probabilities,
        "sharkpack unrounded": normalise(ours),
        "rounding alone": round_trip(exact),
    }
    return summarise(reference, found)


def summarise(reference: Floats, found: dict[str, Floats]) -> dict[str, float]:
    """The mean divergence of each, its standard error, and the share of positions with the same argmax."""
    values: dict[str, float] = {}
    for name, log_probabilities in found.items():
        each = divergences(reference, log_probabilities)
        values[name] = float(each.mean())
        values[f"{name} error"] = float(each.std(ddof=1) / np.sqrt(len(each)))
        values[f"{name} same best"] = float((reference.argmax(1) == log_probabilities.argmax(1)).mean())
    return values


def llama_cpp_logits(programs: Path, model: Path, text: Path, out: Path) -> SavedLogits:
    """llama.cpp's distributions at the last 256 positions of the text's first 513 tokens."""
    size = str(TOKENS)
    words: list[str | Path] = ["--chunks", "1", "-c", size, "-b", size, "--kl-divergence-base", out]
    run([programs / "llama-perplexity", "-m", model, "-f", text, *words])
    return read_logits(out)


def our_logits(model: Model, options: tuple[str, ...], text: SavedLogits, work: Path, out: Path) -> Floats:
    """Our logits at the same positions of the same tokens, from a bundle built with `options`."""
    bundle = work / f"{model.name}-{out.stem}.shark"
    build_bundle(model.path, bundle, *options)
    tokens = out.with_suffix(".json")
    tokens.write_text(json.dumps({"tokens": text.tokens.tolist(), "first": text.first}), encoding="utf-8")
    run([sys.executable, "-m", "benchmarks.logits_worker", bundle, tokens, out])
    logits: Floats = np.load(out).astype(np.float64)
    return logits


if __name__ == "__main__":
    sys.exit(run_command(main))
