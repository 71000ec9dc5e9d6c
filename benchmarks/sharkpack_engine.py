"""Our side of a comparison: builds bundles, and runs tasks in fresh processes."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import Run, run
from benchmarks.tasks import CONTEXT, PROMPT, Task

BATCH_SIZES = "1,4,8"
SHARKPACK = (sys.executable, "-m", "sharkpack.cli.main")
COMMAND = Path(sys.executable).parent / "sharkpack"


def command() -> tuple[str, ...]:
    """The installed command, as users start it."""
    return (str(COMMAND),) if COMMAND.exists() else SHARKPACK


def build_bundle(source: Path, target: Path, *options: str) -> float:
    """Build a bundle with the installed sharkpack; seconds it took."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return run([*command(), "build", source, "-o", target, "--force", "--quiet", *options]).exit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SharkpackEngine:
    """One bundle. code: another one, of the same weights, whose code is run instead (in tasks of speed)."""

    bundle: Path
    code: Path | None = None

    def warm_up(self) -> None:
        """Run it once: the bundle and the libraries are in the page cache then, and our bytecode is compiled."""
        run([*command(), "run", self.bundle, PROMPT, "--max-tokens", "1"])

    def measure(self, task: Task, threads: int, *, repeats: int) -> tuple[Run, dict[str, list[float]]]:
        """The process, and the values of each metric (see tasks.METRICS)."""
        if task.kind in ("cold-start", "memory"):
            return self._measure_command(task, threads)
        words: list[str | Path] = ["--threads", str(threads), "--context", str(task.context)]
        words += ["--prompt", str(task.prompt)]
        words += ["--generated", str(task.generated), "--sequences", str(task.sequences), "--repeats", str(repeats)]
        words += ["--code", self.code] if self.code else []
        found = run([sys.executable, "-m", "benchmarks.sharkpack_worker", self.bundle, task.kind, *words])
        return found, {"speed": json.loads(found.stdout)}

    def _measure_command(self, task: Task, threads: int) -> tuple[Run, dict[str, list[float]]]:
        words = ["--raw", "--max-tokens", str(task.generated), "--threads", str(threads), "--context", str(CONTEXT)]
        whole: list[str | Path] = [*command(), "run", self.bundle, prompt_text(task), *words]
        found = run(whole, watch_memory=task.kind == "memory")
        return found, values_of_command(found, task)


def prompt_text(task: Task) -> str:
    """Text of about `task.prompt` tokens: both engines make their own tokens of it, and the same ones."""
    return " ".join([PROMPT] * max(1, task.prompt // len(PROMPT.split())))


def values_of_command(found: Run, task: Task) -> dict[str, list[float]]:
    """The metrics of a command line that has ended."""
    peak = found.peak_bytes / 1e6
    if task.kind == "memory":
        return {"peak memory": [peak], "anonymous": [(found.anonymous_bytes or 0) / 1e6]}
    return {"first token": [1e3 * (found.first_output_s or found.exit_s)], "peak memory": [peak]}
