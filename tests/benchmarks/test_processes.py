"""Measured processes: real ones, small."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import ROOT, BenchmarkError, run

STARTS_ANOTHER = (
    "import os, subprocess, sys; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"
)
"""A process that has one of its own, which would outlive it."""


def test_measures_a_process() -> None:
    size = 64 << 20
    code = f"import time; print('x', flush=True); b = b'1' * {size}; time.sleep(0.2)"
    found = run([sys.executable, "-I", "-S", "-c", code], watch_memory=True)
    assert found.stdout == "x\n"
    assert found.first_output_s is not None
    assert found.first_output_s < found.exit_s
    assert found.peak_bytes > size
    assert found.anonymous_bytes is not None
    assert found.anonymous_bytes > size
    assert 0 <= found.others_share <= 1


def test_says_what_a_failed_process_said() -> None:
    with pytest.raises(BenchmarkError, match=r"status 3 from: .*: oh no"):
        run([sys.executable, "-c", "import sys; print('oh no', file=sys.stderr); sys.exit(3)"])


def test_says_which_program_is_missing() -> None:
    with pytest.raises(BenchmarkError, match="no-such-program could not be started"):
        run(["no-such-program"])


def test_python_keeps_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTHONPYCACHEPREFIX", raising=False)
    code = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    assert run([sys.executable, "-c", code]).stdout == f"False {ROOT / 'build' / 'benchmarks' / 'bytecode'}\n"


def test_what_takes_too_long_ends_with_all_it_started(tmp_path: Path) -> None:
    code = f"import sys; sys.stdout = open({str(tmp_path / 'pid')!r}, 'w'); {STARTS_ANOTHER}"
    for timeout in (1, 5, 25, 125):  # the first in which it comes to start another
        with pytest.raises(BenchmarkError, match=f"not done after {timeout} s: "):
            run([sys.executable, "-I", "-S", "-c", code], timeout=timeout)
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
            break
    assert ends(int((tmp_path / "pid").read_text()))


def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    inner = f"import sys; sys.stdout = open({str(tmp_path / 'pid')!r}, 'w'); {STARTS_ANOTHER}"
    outer = f"from benchmarks.processes import run; run([{sys.executable!r}, '-I', '-S', '-c', {inner!r}])"
    with subprocess.Popen([sys.executable, "-c", outer], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
    assert ends(int((tmp_path / "pid").read_text()))


def ends(pid: int) -> bool:
    """Returns whether a process is gone, or only waits to be collected, within a minute."""
    for _ in range(3000):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1][0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False
