"""The peaks of this machine: bytes read a second, and int8 multiply-adds a second.

Bytes are read where a bundle's weights lie in memory: other memory may be read half as fast again, or slower.
Run as a process of its own (IREE fixes the number of threads for the whole process); prints JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import run_command
from benchmarks.processes import run

DOT_ROWS = 64
_EVERY_512 = (4096, 3584, 3072, 2560, 2048, 1536, 1024, 512)
DISTANCES = (((), ()), ((), (2048,)), ((), _EVERY_512), ((4096,), ()), ((4096,), (2048, 1024)))
SHAPES = tuple((streams, *distances) for streams in (1, 2, 4) for distances in DISTANCES)
"""(streams, prefetch distances in bytes into the second-level cache, and into the first) of the readers;
the fastest one's figure is the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """One measurement. bandwidth: bytes of that model's weights read a second. macs: int8 multiply-adds into 32
    bits, a second."""

    model: str
    threads: int
    bandwidth: float
    macs: float


def measure_peaks(model: str, bundle: Path, threads: int, *, repeats: int = 5) -> Peaks:
    """In a fresh process: the best of `repeats` calls of each kernel."""
    words: list[str | Path] = ["--threads", str(threads), "--repeats", str(repeats)]
    best = json.loads(run([sys.executable, "-m", "benchmarks.peaks", bundle, *words]).stdout)
    return Peaks(model=model, threads=threads, bandwidth=best["bandwidth"], macs=best["macs"])


def main(words: list[str]) -> int:
    """Measure in this process and print: the peaks, and what each reader reaches."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peaks", description=__doc__)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    found = parser.parse_args(words)
    readers, macs = _measure(found.bundle, found.threads, found.repeats)
    json.dump({"bandwidth": max(readers.values()), "macs": macs, "readers": readers}, sys.stdout)
    return 0


def _measure(bundle: Path, threads: int, repeats: int) -> tuple[dict[str, float], float]:
    import iree.runtime as rt
    import numpy as np

    from benchmarks.iree_module import ISA, load, open_device
    from benchmarks.peak_kernels import (
        DOT_MACS_PER_ROW,
        DOT_TILES,
        ROW_WORDS,
        integer_dots,
        module_text,
        reading_text,
        streaming_sum,
    )
    from sharkpack.formats.archive.reader import Archive
    from sharkpack.runtime_shim.executor.weight_prefetch import weight_ranges

    device = open_device(threads)
    dots = integer_dots()
    codes = rt.asdevicearray(device, np.ones((DOT_ROWS, 256 * DOT_TILES), np.int8))
    words = rt.asdevicearray(device, np.full((DOT_ROWS, 32), 0x01010101, np.int32))
    module = load(module_text([dots], ISA), device)
    (dot_seconds,) = _best([lambda: module[f"call_{dots.name}"](codes, words)], repeats)

    readers = [streaming_sum(*shape) for shape in SHAPES]
    with Archive.open(bundle) as archive:
        offset, nbytes = max(weight_ranges(archive), key=lambda found: found[1])
        rows = nbytes // (4 * ROW_WORDS)
        memory = np.frombuffer(archive.mmap, np.uint8, 4 * ROW_WORDS * rows, offset)
        reading = load(reading_text(readers, rows, ISA), device, {"weights": memory})
        calls = [reading[f"read_{reader.name}"] for reader in readers]
        seconds = _best(calls, repeats)
    return {reader.name: memory.nbytes / s for reader, s in zip(readers, seconds, strict=True)}, (
        DOT_ROWS * DOT_MACS_PER_ROW / dot_seconds
    )


def _best(calls: list[Callable[[], Any]], repeats: int) -> list[float]:
    """The shortest of `repeats` times of each, taken in turn, after one that warms up."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats + 1):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call().to_host()
            taken.append(time.perf_counter() - started)
    return [min(taken[1:]) for taken in times]


if __name__ == "__main__":
    sys.exit(run_command(main))
