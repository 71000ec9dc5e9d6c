"""`python -m benchmarks.file_pages MODEL`: decoding a bundle as `build` wrote it, and a copy made in small pieces.

A file that was just written is in the page cache, in pages as large as the pieces it was written in: see the README.
"""

import argparse
import statistics
import sys
from pathlib import Path

from benchmarks.command import run_command
from benchmarks.models import NAMES, find_model
from benchmarks.processes import WORK
from benchmarks.sharkpack_engine import SharkpackEngine, build_bundle
from benchmarks.tasks import TASKS

PIECE_BYTES = 16 << 10


def main(words: list[str]) -> int:
    """Build, copy, measure in turn and print the medians."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.file_pages", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help=f"a GGUF file, or one of {', '.join(NAMES)}")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    found = parser.parse_args(words)
    model = find_model(found.model)
    built, copied = WORK / f"{model.name}-built.shark", WORK / f"{model.name}-copied.shark"
    build_bundle(model.path, built, "--batch-sizes", "1")
    copy_in_pieces(built, copied)
    milliseconds: dict[Path, list[float]] = {built: [], copied: []}
    for _ in range(found.rounds):
        for bundle, times in milliseconds.items():
            _, values = SharkpackEngine(bundle=bundle).measure(TASKS["decode-32"], found.threads, repeats=1)
            times.append(1e3 / values["speed"][0])
    for bundle, times in milliseconds.items():
        listed = ", ".join(f"{value:.1f}" for value in times)
        print(f"{bundle.name}: {statistics.median(times):.1f} ms a token ({listed}), threads: {found.threads}")
    return 0


def copy_in_pieces(source: Path, target: Path) -> None:
    """A new file; one that is overwritten would keep its pages."""
    target.unlink(missing_ok=True)
    with source.open("rb", buffering=0) as original, target.open("wb", buffering=0) as copy:
        while piece := original.read(PIECE_BYTES):
            copy.write(piece)


if __name__ == "__main__":
    sys.exit(run_command(main))
