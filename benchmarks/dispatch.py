"""`python -m benchmarks.dispatch`: what a dispatch costs by itself, of a kernel with next to nothing to do."""

import argparse
import statistics
import sys
import time
from typing import Any

import iree.runtime as rt
import numpy as np

from benchmarks.command import run_command
from benchmarks.iree_module import ISA, load, open_device
from sharkpack.templates.kernels.emitter import I32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

CALLS = (1, 401)
"""Dispatches of the two functions that are compared: what a call costs besides them is the same for both."""

WORKGROUPS = (1, 16)


def main(words: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dispatch", description=__doc__)
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=200, metavar="N")
    found = parser.parse_args(words)
    device = open_device(found.threads)
    functions = [load(chain(increment(), calls), device)["run"] for calls in CALLS]
    for workgroups in WORKGROUPS:
        values = rt.asdevicearray(device, np.zeros((workgroups, 16), np.int32))
        cost = dispatch_seconds(functions, values, found.rounds)
        print(f"{1e6 * cost:.1f} µs a dispatch of {workgroups} workgroups, threads: {found.threads}")
    return 0


def dispatch_seconds(functions: list[Any], values: Any, rounds: int) -> float:
    """Returns the seconds a dispatch, from the medians of both functions; each dispatch waits for the one before."""
    seconds = [[_seconds(function, values) for function in functions] for _ in range(rounds + 1)][1:]
    few, many = (statistics.median(times) for times in zip(*seconds, strict=True))
    return float(many - few) / (CALLS[1] - CALLS[0])


def chain(kernel: Kernel, calls: int) -> str:
    """A module whose function `run` calls `kernel` again and again on the one buffer that it updates."""
    kind = f"tensor<{kernel.outputs[0].tensor}>"
    lines = [f"  %v{i + 1} = util.call @{kernel.name}(%v{i}) : ({kind}) -> {kind}" for i in range(calls)]
    function = [f"func.func @run(%v0: {kind}) -> {kind} {{", *lines, f"  return %v{calls} : {kind}", "}"]
    return "\n".join([kernel.layout_alias, "module @module {", kernel.render(ISA), *function, "}"])


def increment() -> Kernel:
    """Adds one to sixteen integers in place, a row a workgroup."""

    def body(e: Emitter) -> None:
        at = ["%group_x", "%origin"]
        e.store(e.op(f"arith.addi {e.load('values', at, I32)}, {e.integers(1)} : {I32}"), "values", at, I32)

    return Kernel(
        name="increment",
        bindings=(Binding.of("values", "?x16xi32", access="update"),),
        body=body,
        dimensions={"rows": ("values", 0)},
        row_tile=1,
    )


def _seconds(function: Any, values: Any) -> float:
    started = time.perf_counter()
    function(values)
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(run_command(main))
