"""The machine and the versions that a result was measured with: facts that go into the JSON."""

import datetime
import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT

PACKAGES = ("sharkpack", "iree-base-runtime", "iree-base-compiler", "numpy", "tokenizers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """The processor, as the system describes it."""

    model: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """memory in bytes; load: the load average of the last minute when the run began."""

    date: str
    system: str
    cpu: str
    cpu_flags: tuple[str, ...]
    cores: int
    memory: int
    load: float
    python: str
    versions: dict[str, str]
    commit: str


def this_machine() -> Machine:
    """The machine as it is now."""
    processor = cpu()
    return Machine(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=processor.model,
        cpu_flags=processor.flags,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        load=os.getloadavg()[0],
        python=platform.python_version(),
        versions={name: _version(name) for name in PACKAGES},
        commit=_commit(),
    )


def cpu() -> Cpu:
    """This machine's processor; without flags where /proc/cpuinfo is missing."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features") or ""
    return Cpu(model=facts.get("model name", platform.processor() or "unknown"), flags=tuple(sorted(flags.split())))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    """The commit of the checkout, with a + if tracked files of sharkpack differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    product = ("formats", "templates", "bundler", "runtime_shim", "cli")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", *product)
    return f"{head}+" if changed else head or "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
