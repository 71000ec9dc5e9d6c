"""Limits of Linux's control groups on this process: CPUs and memory. Knows the files of both versions, and that a limit
on a group above counts as well."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def cpu_quota() -> float | None:
    """CPUs' worth of time that the process may use, or None without a limit."""
    limits = []
    for group in _groups("cpu"):
        words = _read(group / "cpu.max").split()
        words = words or [_read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")]
        with contextlib.suppress(ValueError, ZeroDivisionError):  # no such file, or no limit ("max")
            quota, period = (int(word) for word in words)
            limits += [quota / period] if quota > 0 else []
    return min(limits, default=None)


def memory_limit() -> int | None:
    """Bytes that the process may use, or None without a limit."""
    limits = []
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(ValueError):
                limits.append(int(_read(group / name)))
    return min(limits, default=None)


def _groups(controller: str) -> Iterator[Path]:
    """Folders of the groups that the process is in, and of those above; not all are there, as in a container."""
    for line in _read(MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = ROOT / controller if controllers else ROOT
        group = mount / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(mount))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
