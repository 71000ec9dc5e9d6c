"""`python -m benchmarks.profile MODEL`: where the time of a token goes, kernel by kernel.

A model is compiled as for a bundle, and IREE's own tools run its decode step (or, with --prompt, a prefill) and time
each dispatch where it happens: after the one before it, with what that left in the caches.
"""

import argparse
import json
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np

from benchmarks.command import run_command
from benchmarks.iree_module import TARGET
from benchmarks.models import NAMES, find_model
from benchmarks.processes import run
from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.compile_targets import compile_target
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.model_spec.weight_bytes import write_parameters
from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.sources import SourceModel, open_source
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.archive.generate_calls import DECODE_ROLES, PREFILL_ROLES
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE
from sharkpack.formats.padded_batch import PaddedBatch
from sharkpack.runtime_shim.executor.protocol import SequenceChunk
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.lowering.cpu import Cpu
from sharkpack.templates.lowering.parse import parse

LARGE_PAGES = "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"
"""Weights lie in pages of 2 MiB, as in a bundle that the page cache holds."""

MODULE, PARAMETERS = "module.vmfb", "parameters.irpa"

ELEMENT_BYTES = {"i8": 1, "i64": 8, "f16": 2, "bf16": 2, "f32": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The call that is timed: sequences that are computed together, tokens of each, and how many came before them."""

    tokens: int
    context: int
    batch: int = 1

    @property
    def function(self) -> str:
        return f"decode_bs{self.batch}" if self.tokens == 1 else f"prefill_bs{self.batch}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kernel: its dispatches in a call, the bytes of weights they read (0 in a prefill, which does not read them
    once), their seconds, and those that all threads spent in it together."""

    kernel: str
    dispatches: int
    weights: int
    seconds: float
    thread_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The kernels of a call, and the seconds of all of it."""

    lines: list[Line]
    seconds: float
    threads: int


def main(words: list[str]) -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("model", metavar="MODEL", help=f"a GGUF file, or one of {', '.join(NAMES)}")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--context", type=int, default=64, metavar="N", help="tokens before this one (default: 64)")
    parser.add_argument("--prompt", type=int, default=1, metavar="N", help="a prefill of so many tokens instead")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="so many sequences together")
    parser.add_argument("--rounds", type=int, default=40, metavar="N")
    found = parser.parse_args(words)
    call = Call(tokens=found.prompt, context=found.context if found.prompt == 1 else 0, batch=found.batch)
    print(table(profile(find_model(found.model).path, call, found.threads, found.rounds)))
    return 0


def profile(source: Path, call: Call, threads: int, rounds: int) -> Profile:
    """Write the code and weights of `source` to a temporary folder and time `rounds` calls."""
    options = BuildOptions(source=str(source), batch_sizes=(call.batch,), targets=(TARGET.id,))
    with tempfile.TemporaryDirectory() as folder, open_source(str(source)) as model:
        out, plan = Path(folder), make_plan(model, options)
        program = plan.program()
        lowering = plan.targets[0].lowering
        assert isinstance(lowering, Cpu)
        kernels = lowering.kernels(parse(program.text)) if call.tokens == 1 else {}
        _write_model(plan, model, program, out)
        command = _benchmark(out, _inputs(plan, call, out), call, threads, rounds)
        (timed,) = json.loads(run(["env", LARGE_PAGES, *command]).stdout)["benchmarks"]
        events = run([_tool("iree-profile"), "dispatch", "--format=jsonl", out / "profile"]).stdout
    lines = [line for text in events.splitlines() if (line := read_line(json.loads(text), rounds, kernels))]
    return Profile(lines=lines, seconds=timed["real_time"] / 1e3, threads=threads)


def _write_model(plan: BuildPlan, source: SourceModel, program: ProgramText, folder: Path) -> None:
    (folder / MODULE).write_bytes(compile_target(program, TARGET, CompileCache.of_user())[0])
    with (folder / PARAMETERS).open("wb") as file, SilentProgress().step("weights") as done:
        write_parameters(plan.parameters, file, plan.model, source, done)


def _inputs(plan: BuildPlan, call: Call, folder: Path) -> list[str]:
    """Options that give the call's arguments in order; those that are arrays are written to `folder`."""
    each, size = -(-(call.context + call.tokens) // plan.options.page_size), call.batch
    pages = each * size
    tokens = np.arange(size * call.tokens).reshape(size, -1) % plan.model.vocab_size
    page_table = np.arange(1, 1 + pages).reshape(size, -1)
    rows = zip(tokens.tolist(), repeat(call.context), page_table.tolist(), strict=False)
    batch = PaddedBatch.of([SequenceChunk(*row) for row in rows], size)
    arrays = batch.by_role()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    layout = plan.model.cache_layout
    given = {name: f"@{folder / name}.npy" for name in arrays}
    given["memory"] = f"{1 + pages}x{layout.page_elements}x{plan.options.cache_dtype}=0"
    return [f"--input={given[name]}" for name in (DECODE_ROLES if call.tokens == 1 else PREFILL_ROLES)]


def _benchmark(folder: Path, inputs: Sequence[str], call: Call, threads: int, rounds: int) -> list[str]:
    return [
        _tool("iree-benchmark-module"),
        f"--module={folder / MODULE}",
        f"--parameters={PARAMETER_SCOPE}={folder / PARAMETERS}",
        "--parameter_mode=preload",
        *(
            ["--device=local-task", f"--task_topology_group_count={threads}"]
            if threads > 1
            else ["--device=local-sync"]
        ),
        f"--function={call.function}",
        *inputs,
        f"--benchmark_min_time={rounds}x",
        "--benchmark_format=json",
        "--device_profiling_mode=host-execution,executable-metadata",
        f"--device_profiling_output={folder / 'profile'}",
    ]


def _tool(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / name)


def read_line(event: Mapping[str, object], rounds: int, kernels: Mapping[str, Kernel]) -> Line | None:
    """A kernel's line, of what iree-profile says of all its dispatches in `rounds` calls; None of anything else."""
    if event.get("type") != "host_dispatch_group":
        return None
    name = str(event["key"]).removeprefix("kernel_")
    dispatches = int(str(event["count"])) // rounds
    read = _weight_bytes(kernels[name]) if name in kernels else 0
    return Line(
        kernel=name,
        dispatches=dispatches,
        weights=dispatches * read,
        seconds=int(str(event["total_ns"])) / rounds / 1e9,
        thread_seconds=int(str(event["total_tile_duration_sum_ns"])) / rounds / 1e9,
    )


def _weight_bytes(kernel: Kernel) -> int:
    """Bytes of weights that a dispatch reads: inputs of a size that no call changes; of a table, next to nothing."""
    if kernel.name.startswith("embedding"):
        return 0
    found = 0
    for each in kernel.inputs:
        *sizes, element = each.tensor.split("x")
        if "?" not in sizes:
            found += int(np.prod([int(size) for size in sizes])) * ELEMENT_BYTES[element]
    return found


def table(found: Profile) -> str:
    """Longest first. With several threads, how much of their time they spent in each kernel while it ran."""
    lines = sorted(found.lines, key=lambda line: -line.seconds)
    inside = _sum("all kernels", lines)
    rows = [(f"`{line.kernel}`", line) for line in lines] + [("all kernels", inside)]
    cells = [["kernel", "dispatches", "weights, MB", "ms", "share", "GB/s", "threads busy"], ["---"] * 7]
    cells += [[label, *_cells(line, found.seconds, found.threads)] for label, line in rows]
    cells.append(["with what is between them", "", "", f"{1e3 * found.seconds:.2f}", "100%", "", ""])
    shown = 7 if found.threads > 1 else 6
    return "\n".join("| " + " | ".join(row[:shown]) + " |" for row in cells)


def _sum(name: str, lines: Sequence[Line]) -> Line:
    return Line(
        kernel=name,
        dispatches=sum(line.dispatches for line in lines),
        weights=sum(line.weights for line in lines),
        seconds=sum(line.seconds for line in lines),
        thread_seconds=sum(line.thread_seconds for line in lines),
    )


def _cells(line: Line, whole: float, threads: int) -> list[str]:
    return [
        str(line.dispatches),
        f"{line.weights / 1e6:.1f}" if line.weights else "",
        f"{1e3 * line.seconds:.2f}",
        f"{line.seconds / whole:.0%}",
        f"{line.weights / line.seconds / 1e9:.1f}" if line.weights > 1e6 else "",
        f"{line.thread_seconds / line.seconds / threads:.0%}",
    ]


if __name__ == "__main__":
    sys.exit(run_command(main))
