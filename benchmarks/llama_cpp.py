"""llama.cpp's side of a comparison: its own benchmark programs, and the reading of what they print."""

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Run, run
from benchmarks.sharkpack_engine import prompt_text, values_of_command
from benchmarks.tasks import CONTEXT, Task

PROGRAMS = ("llama-bench", "llama-batched-bench", "llama-completion", "llama-quantize", "llama-perplexity")


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCppEngine:
    """One GGUF file, and the folder with llama.cpp's programs."""

    programs: Path
    model: Path

    def measure(self, task: Task, threads: int, *, repeats: int) -> tuple[Run, dict[str, list[float]]]:
        """The process, and the values of each metric (see tasks.METRICS)."""
        if task.kind in ("cold-start", "memory"):
            found = run(self.command(task, threads, repeats=repeats), watch_memory=task.kind == "memory")
            return found, values_of_command(found, task)
        found = run(self.command(task, threads, repeats=repeats))
        read = read_batched_bench if task.kind == "batch" else read_bench
        return found, {"speed": read(found.stdout)}

    def command(self, task: Task, threads: int, *, repeats: int) -> list[str | Path]:
        """The command line that measures a task; caches are f16 and everything else is left at its default."""
        common: list[str | Path] = ["-m", self.model, "-t", str(threads)]
        bench = [self.programs / "llama-bench", *common, "-r", str(repeats), "-o", "json"]
        if task.kind == "prefill":
            return [*bench, "-p", str(task.prompt), "-n", "0"]
        if task.kind == "decode":
            return [*bench, "-p", "0", "-n", str(task.generated), "-d", str(task.prompt)]
        if task.kind == "batch":
            room = str(task.sequences * (task.prompt + task.generated + 32))
            shape = ["-npp", str(task.prompt), "-ntg", str(task.generated), "-npl", str(task.sequences)]
            options = ["-tb", str(threads), "-c", room, "--output-format", "jsonl"]
            return [self.programs / "llama-batched-bench", *common, *options, *shape]
        options = ["-no-cnv", "--no-display-prompt", "-n", str(task.generated), "-c", str(CONTEXT), "--temp", "0"]
        options += ["--no-warmup"] * task.skip_warm_up
        return [self.programs / "llama-completion", *common, *options, "-p", prompt_text(task)]


def read_bench(output: str) -> list[float]:
    """Tokens a second of every repetition that `llama-bench -o json` printed."""
    return [float(speed) for test in json.loads(output) for speed in test["samples_ts"]]


def read_batched_bench(output: str) -> list[float]:
    """Generated tokens a second, all sequences together, of each line of `llama-batched-bench`'s JSON."""
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return [float(json.loads(line)["speed_tg"]) for line in lines]


def requantise(programs: Path, source: Path, target: Path, type_name: str) -> None:
    """Quantise again what is quantised already: for speed only, the text gets worse."""
    target.parent.mkdir(parents=True, exist_ok=True)
    run([programs / "llama-quantize", "--allow-requantize", source, target, type_name.upper()])
