"""Fresh processes, measured through launch.py, that end when we do. Knows nothing of what they run."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.launch import busy_seconds

ROOT = Path(__file__).parent.parent
WORK = ROOT / "build" / "benchmarks"
"""Where bundles and results go, unless told otherwise."""

QUIET_SHARE = 0.1


class BenchmarkError(Exception):
    """An error that stops a run; the message says what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A process that has ended. Seconds count from its start; memory in bytes.

    others_share: what other processes used of the machine's CPU time meanwhile, 0 to 1. anonymous_bytes: sampled, and
    only where asked for.
    """

    stdout: str
    first_output_s: float | None
    exit_s: float
    peak_bytes: int
    anonymous_bytes: int | None
    others_share: float


def run(command: Sequence[str | Path], *, watch_memory: bool = False, timeout: float = 600) -> Run:
    """Run a command in a fresh process, the repository as its folder. Raises BenchmarkError where it fails."""
    words = [str(word) for word in command]
    launch = [sys.executable, "-I", "-S", str(ROOT / "benchmarks" / "launch.py"), *["--anonymous"] * watch_memory]
    try:
        status, output, errors = run_group([*launch, *words], timeout=timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"not done after {timeout:.0f} s: {' '.join(words)}") from None
    if status != 0:
        raise BenchmarkError(f"{words[0]} could not be started: {errors.strip()[-500:]}")
    found = json.loads(output)
    if found["status"] != 0:
        last = (found["stderr"].strip() or "no message").splitlines()[-1]
        raise BenchmarkError(f"status {found['status']} from: {' '.join(words)}: {last}")
    return _read(found)


def run_group(command: Sequence[str], *, capture: bool = True, timeout: float | None = None) -> tuple[int, str, str]:
    """(status, standard output, errors) of a command; not captured, all of it goes to our standard error.

    The command is a process group of its own: whatever stops us (Ctrl-C, the timeout) ends all that it has started.
    """
    streams = subprocess.PIPE if capture else sys.stderr
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=streams, stderr=streams, text=True, start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            raise
    return process.returncode, output or "", errors or ""


def environment() -> dict[str, str]:
    """Ours, but Python keeps bytecode, as where a package is installed: compiling is no part of starting."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {"PYTHONPYCACHEPREFIX": str(WORK / "bytecode")} | kept


def _read(found: dict[str, Any]) -> Run:
    capacity = found["exit_s"] * (os.cpu_count() or 1)
    return Run(
        stdout=found["stdout"],
        first_output_s=found["first_output_s"],
        exit_s=found["exit_s"],
        peak_bytes=found["peak_bytes"],
        anonymous_bytes=found["anonymous_bytes"],
        others_share=min(1.0, found["others_cpu_s"] / capacity),
    )


def wait_for_quiet(quiet_wait_s: float, *, interval_s: float = 0.3) -> None:
    """Return when the machine's CPUs are at most a tenth busy over `interval_s`, or when the time is over."""
    end = time.perf_counter() + quiet_wait_s
    while time.perf_counter() < end:
        busy, started = busy_seconds(), time.perf_counter()
        time.sleep(interval_s)
        share = (busy_seconds() - busy) / ((time.perf_counter() - started) * (os.cpu_count() or 1))
        if share <= QUIET_SHARE:
            return
