"""`python -m benchmarks.profile MODEL`: where the time of a token goes, kernel by kernel.

Each kernel of the decode step runs alone, as often as the step calls it and on as many weights, between rounds of all
the others, so that it finds its weights in memory and not in a cache.
"""

import argparse
import os
import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iree.runtime as rt
import numpy as np

from benchmarks.command import run_command
from benchmarks.iree_module import TARGET, load, open_device
from benchmarks.kernel_chain import Chain
from benchmarks.models import FILES, find_model
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.plan import make_plan
from sharkpack.bundler.sources import open_source

LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Weights lie in pages of 2 MiB, as in a bundle that the page cache holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kernel: its calls in a step, the bytes of weights they read, and the seconds they took in each round."""

    kernel: str
    calls: int
    weights: int
    seconds: list[float]


def main(words: list[str]) -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help=f"a GGUF file, or one of {', '.join(FILES)}")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="tokens before this one (default: 64)")
    parser.add_argument("--rounds", type=int, default=15, metavar="N")
    found = parser.parse_args(words)
    if not LARGE_PAGES.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.profile", *words]
        os.execve(sys.executable, command, os.environ | LARGE_PAGES)
    chains = decode_step(find_model(found.model).path)
    print(table(measure(chains, found.threads, found.context, found.rounds)))
    return 0


def decode_step(source: Path) -> list[Chain]:
    """The kernels that `decode_bs1` calls, with how often."""
    with open_source(str(source)) as model:
        plan = make_plan(model, BuildOptions(source=str(source), batch_sizes=(1,)))
        program = plan.program()
    step = re.split(r"func\.func @", program.text)
    (text,) = (part for part in step if part.startswith("decode_bs1"))
    counts = Counter(re.findall(r"util\.call @(\w+)|call @(\w+)", text))
    names = Counter({a or b: n for (a, b), n in counts.items()})
    return [Chain(kernel=kernel, count=names[kernel.name]) for kernel in program.kernels if names[kernel.name]]


def measure(chains: list[Chain], threads: int, context: int, rounds: int) -> list[Line]:
    """Every chain once in each round."""
    device = open_device(threads)
    ready = []
    for chain in chains:
        module = load(chain.text(TARGET.isa), device)
        arguments, weights = _arguments(device, chain, context)
        line = Line(kernel=chain.kernel.name, calls=chain.count, weights=weights, seconds=[])
        ready.append((line, module["run"], arguments))
    for _ in range(rounds + 1):
        for line, function, arguments in ready:
            started = time.perf_counter()
            function(*arguments)
            line.seconds.append(time.perf_counter() - started)
    return [line for line, _, _ in ready]


def _arguments(device: Any, chain: Chain, context: int) -> tuple[list[Any], int]:
    """Device arrays for a chain, and the bytes that the calls read of their own (of a table, next to none)."""
    tensors = {b.name: b.tensor for b in chain.kernel.bindings}
    pages = context // 16 + 2
    given = {
        "page_ids": np.arange(1, pages, dtype=np.int64)[None],
        "start_positions": np.array([context]),
        "seq_lens": np.array([context + 1]),
    }

    def array(name: str) -> Any:
        *sizes, element = tensors[name].split("x")
        rows = pages if name == "cache" else 1
        shape = [rows if size == "?" else int(size) for size in sizes]
        dtype = {"i8": np.int8, "i64": np.int64, "f16": np.float16, "f32": np.float32}[element]
        return given[name] if name in given else np.ones(shape, dtype)

    looked_up = chain.kernel.name.startswith("embedding")
    shared = [rt.asdevicearray(device, array(name)) for name in chain.shared]
    own, weights = [], 0
    for _ in range(chain.count):
        for name in chain.own:
            values = array(name)
            weights += 0 if looked_up else values.nbytes
            own.append(rt.asdevicearray(device, values))
    return shared + own, weights


def table(lines: list[Line]) -> str:
    """Longest first: medians of all rounds but the first."""
    spent = {line.kernel: statistics.median(line.seconds[1:]) for line in lines}
    total = sum(spent.values())
    rows = ["| kernel | calls | weights, MB | ms a token | share | GB/s |", "|---|---|---|---|---|---|"]
    for line in sorted(lines, key=lambda line: -spent[line.kernel]):
        seconds = spent[line.kernel]
        speed = f"{line.weights / seconds / 1e9:.1f}" if line.weights > 1e6 else ""
        rows.append(
            f"| `{line.kernel}` | {line.calls} | {line.weights / 1e6:.1f} | {1e3 * seconds:.2f} "
            f"| {seconds / total:.0%} | {speed} |"
        )
    weights = sum(line.weights for line in lines)
    calls = sum(line.calls for line in lines)
    return "\n".join(
        [*rows, f"| all | {calls} | {weights / 1e6:.0f} | {1e3 * total:.2f} | | {weights / total / 1e9:.1f} |"]
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
