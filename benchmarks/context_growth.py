"""`python -m benchmarks.context_growth MODEL`: what a token costs after a short context and after a long one.

For each type of cache a bundle; their samples turn by turn, each a fresh process that prefills and then decodes.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import run_command
from benchmarks.models import NAMES, Model, find_model
from benchmarks.processes import WORK
from benchmarks.sharkpack_engine import SharkpackEngine, build_bundle
from benchmarks.tasks import Task
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.formats.archive.reader import Archive

GENERATED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Measurements of one cache type: its bytes a token, and the ms a token took after each context in every round."""

    cache_dtype: str
    token_bytes: int
    milliseconds: dict[int, list[float]]


def main(words: list[str]) -> int:
    """Build, measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context_growth", description=__doc__)
    add = parser.add_argument
    add("model", metavar="MODEL", help=f"a GGUF file, or one of {', '.join(NAMES)}")
    add("--cache-dtypes", nargs="+", default=["f16", "i8"], metavar="TYPE", help="default: f16 i8")
    add("--lengths", nargs="+", type=int, default=[32, 1024, 4096], metavar="N", help="default: 32 1024 4096")
    add("--threads", type=int, default=1, metavar="N")
    add("--rounds", type=int, default=1, metavar="N")
    found = parser.parse_args(words)
    tasks = [Task(name=f"decode-{n}", kind="decode", prompt=n, generated=GENERATED) for n in found.lengths]
    bundles = {dtype: build(find_model(found.model), dtype, tasks) for dtype in found.cache_dtypes}
    grown = [Growth(cache_dtype=dtype, token_bytes=token_bytes(bundles[dtype]), milliseconds={}) for dtype in bundles]
    for _ in range(found.rounds):
        for task in tasks:
            for each in grown:
                _, values = SharkpackEngine(bundle=bundles[each.cache_dtype]).measure(task, found.threads, repeats=1)
                each.milliseconds.setdefault(task.prompt, []).append(1e3 / values["speed"][0])
    print(table(grown, found.threads))
    return 0


def build(model: Model, cache_dtype: str, tasks: list[Task]) -> Path:
    """A bundle with room for every task."""
    bundle = WORK / f"{model.name}-{cache_dtype}.shark"
    context = str(max(task.context for task in tasks))
    build_bundle(model.path, bundle, "--batch-sizes", "1", "--context", context, "--cache-dtype", cache_dtype)
    return bundle


def token_bytes(bundle: Path) -> int:
    """Bytes that a token takes in the cache, of all layers."""
    with Archive.open(bundle) as archive:
        signature = generate_signature(archive.manifest.signature)
    return signature.cache.page_bytes // signature.page_size


def table(grown: list[Growth], threads: int) -> str:
    """Medians; GB/s is what the longest context's cache has more than the shortest one's, over the time it adds.

    As though every layer read all of it: with sliding windows much less is read.
    """
    lengths = list(grown[0].milliseconds)
    heads = ["cache", "threads", "bytes a token", *(f"ms after {n:,}" for n in lengths)]
    heads += ["more cache, MB", "GB/s"] * (len(lengths) > 1)
    rows = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for each in grown:
        medians = [statistics.median(each.milliseconds[n]) for n in lengths]
        cells = [each.cache_dtype, str(threads), f"{each.token_bytes:,}", *(f"{value:.2f}" for value in medians)]
        if len(lengths) > 1:
            more = (lengths[-1] - lengths[0]) * each.token_bytes / 1e6
            cells += [f"{more:.0f}", f"{more / (medians[-1] - medians[0]):.1f}"]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(run_command(main))
