"""`python -m benchmarks.code BUNDLE BUNDLE..`: how fast the code of several bundles of one model decodes.

All read the first one's weights where it lies in memory: with its own each would be faster or slower by where those
happen to lie, by more than most changes to a kernel bring. Samples are taken in turn, each of a fresh process.
"""

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.command import run_command
from benchmarks.processes import BenchmarkError
from benchmarks.sharkpack_engine import SharkpackEngine
from benchmarks.tasks import TASKS
from sharkpack.formats.archive.reader import Archive


def main(words: list[str]) -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.code", description=__doc__)
    add = parser.add_argument
    add("bundles", nargs="+", type=Path, metavar="BUNDLE")
    add("--task", choices=[name for name, task in TASKS.items() if task.kind in ("decode", "prefill", "batch")])
    add("--threads", type=int, default=1, metavar="N")
    add("--rounds", type=int, default=5, metavar="N")
    found = parser.parse_args(words)
    check_weights(found.bundles)
    task = TASKS[found.task or "decode-32"]
    speeds: dict[Path, list[float]] = {bundle: [] for bundle in found.bundles}
    for _ in range(found.rounds):
        for bundle, values in speeds.items():
            engine = SharkpackEngine(bundle=found.bundles[0], code=bundle)
            values += engine.measure(task, found.threads, repeats=1)[1]["speed"]
    print(table(speeds, f"{task.name}, threads: {found.threads}"))
    return 0


def check_weights(bundles: Sequence[Path]) -> None:
    """BenchmarkError unless all have the same parameters."""
    seen = {}
    for bundle in bundles:
        with Archive.open(bundle) as archive:
            seen[bundle] = [archive.member(file.path).sha256 for file in archive.manifest.parameters]
        if seen[bundle] != seen[bundles[0]]:
            raise BenchmarkError(f"{bundle} has other weights than {bundles[0]}: build both from one source")


def table(speeds: Mapping[Path, Sequence[float]], title: str) -> str:
    """Medians, and the median of the ratios to the first bundle's sample of the same round."""
    first = next(iter(speeds.values()))
    rows = [f"| {title} | tokens/s | ratio |", "|---|---|---|"]
    for bundle, values in speeds.items():
        ratio = statistics.median(value / base for value, base in zip(values, first, strict=True))
        rows.append(f"| {bundle.stem} | {statistics.median(values):.1f} | {ratio:.3f} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run_command(main))
