"""Runs one command and measures it: a small process of its own, since a child's peak memory starts at its parent's.

Prints one JSON object: status, first_output_s and exit_s (from the start), cpu_s, others_cpu_s (what the rest of the
machine used meanwhile), peak_bytes (ru_maxrss), and with --anonymous the peak of RssAnon, sampled.
Standard library only; started by path, with `python -I -S`.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLL_SECONDS = 0.005


def main(arguments: list[str]) -> int:
    """`[--anonymous] COMMAND...`"""
    watch = arguments[:1] == ["--anonymous"]
    print(json.dumps(measure(arguments[1:] if watch else arguments, watch_memory=watch)))
    return 0


def measure(command: list[str], *, watch_memory: bool) -> dict[str, object]:
    """Run to the end. `watch_memory` reads /proc every 5 ms, so that times of such a run mean less."""
    with tempfile.TemporaryFile() as errors:
        busy, started = busy_seconds(), time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        output, first_output, anonymous = follow(process, watch_memory=watch_memory)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        cpu = usage.ru_utime + usage.ru_stime
        return {
            "status": process.returncode,
            "first_output_s": first_output - started if first_output else None,
            "exit_s": seconds,
            "cpu_s": cpu,
            "others_cpu_s": max(0.0, busy_seconds() - busy - cpu),
            "peak_bytes": usage.ru_maxrss << 10,
            "anonymous_bytes": anonymous if watch_memory else None,
            "stdout": output.decode(errors="replace"),
            "stderr": errors.read().decode(errors="replace")[-4000:],
        }


def follow(process: "subprocess.Popen[bytes]", *, watch_memory: bool) -> tuple[bytes, float | None, int]:
    """(standard output, when its first byte came, peak of RssAnon in bytes) of a process, up to its end."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    output, first, anonymous = b"", None, 0
    while True:
        ready, _, _ = select.select([descriptor], [], [], POLL_SECONDS if watch_memory else None)
        if watch_memory:
            anonymous = max(anonymous, anonymous_bytes(process.pid))
        if not ready:
            continue
        block = os.read(descriptor, 1 << 16)
        if not block:
            return output, first, anonymous
        first = first or time.perf_counter()
        output += block


def anonymous_bytes(pid: int) -> int:
    """RssAnon now; 0 for a process that has ended, or where /proc is missing."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def busy_seconds() -> float:
    """CPU seconds that all processes have used since the machine started; 0 where /proc is missing."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = (int(field) for field in fields)
    return (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
