"""The private memory of a command and of all that it starts, watched while it runs."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

INTERVAL = 0.01


def peak_private_memory(command: Sequence[str | Path]) -> int:
    """Run `command`, which must end well; the most bytes of memory of their own (RssAnon, not mapped files) that it and
    its children had together."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_private_bytes, _family(process.pid))))
        time.sleep(INTERVAL)
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return peak


def _family(pid: int) -> list[int]:
    """The process and its children, theirs too."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _family(int(child))
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        pass
    return found


def _private_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(lines[0].split()[1]) << 10 if lines else 0  # a process that has ended has none
