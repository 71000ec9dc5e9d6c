"""What this machine can do at best: bytes read a second, and byte products a second.

Run as a process of its own (IREE fixes the number of threads for the whole process); prints JSON.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

from benchmarks.command import run_command
from benchmarks.processes import run

BUFFER_BYTES = 512 << 20
DOT_ROWS = 64
_EVERY_512 = (3072, 2560, 2048, 1536, 1024, 512)
SHAPES = tuple((streams, ahead) for streams in (1, 2, 4) for ahead in ((), (2048,), _EVERY_512))
"""(streams, how many bytes ahead they are asked for) of the readers; the fastest one's figure is the machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """One measurement. bandwidth: bytes read a second. macs: products of bytes, added to 32 bits, a second."""

    threads: int
    bandwidth: float
    macs: float


def measure_peaks(threads: int, *, repeats: int = 3) -> Peaks:
    """In a fresh process: the best of `repeats` calls of each kernel.

    The buffer lies in pages of 2 MiB, as a bundle does in the page cache: pages of 4 KiB are read a sixth slower.
    """
    large_pages = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
    found = run(
        [
            "env",
            large_pages,
            sys.executable,
            "-m",
            "benchmarks.peaks",
            "--threads",
            str(threads),
            "--repeats",
            str(repeats),
        ]
    )
    best = json.loads(found.stdout)
    return Peaks(threads=threads, bandwidth=best["bandwidth"], macs=best["macs"])


def main(words: list[str]) -> int:
    """Measure in this process and print: the peaks, and what each reader reaches."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peaks", description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, default=3)
    found = parser.parse_args(words)
    readers, macs = _measure(found.threads, found.repeats)
    json.dump({"bandwidth": max(readers.values()), "macs": macs, "readers": readers}, sys.stdout)
    return 0


def _measure(threads: int, repeats: int) -> tuple[dict[str, float], float]:
    import iree.runtime as rt
    import numpy as np

    from benchmarks.iree_module import TARGET, load, open_device
    from benchmarks.peak_kernels import DOT_MACS_PER_ROW, DOT_TILES, ROW_WORDS, integer_dots, module_text, streaming_sum

    device = open_device(threads)
    readers = [streaming_sum(*shape) for shape in SHAPES]
    dots = integer_dots()
    module = load(module_text([*readers, dots], TARGET.isa), device)
    data = np.ones((BUFFER_BYTES // 4 // ROW_WORDS, ROW_WORDS), np.int32)
    buffer = rt.asdevicearray(device, data)
    del data
    speeds = {
        name: BUFFER_BYTES / _best(module[f"call_{name}"], (buffer,), repeats) for name in (r.name for r in readers)
    }
    codes = rt.asdevicearray(device, np.ones((DOT_ROWS, 256 * DOT_TILES), np.int8))
    words = rt.asdevicearray(device, np.full((DOT_ROWS, 32), 0x01010101, np.int32))
    dot_seconds = _best(module[f"call_{dots.name}"], (codes, words), repeats)
    return speeds, DOT_ROWS * DOT_MACS_PER_ROW / dot_seconds


def _best(function: Any, arguments: tuple[Any, ...], repeats: int) -> float:
    """The shortest of `repeats` calls, after one that warms up."""
    times = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        function(*arguments).to_host()
        times.append(time.perf_counter() - started)
    return min(times[1:])


if __name__ == "__main__":
    sys.exit(run_command(main))
