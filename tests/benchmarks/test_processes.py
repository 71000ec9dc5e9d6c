"""Measured processes: real ones, small."""

import sys

import pytest

from benchmarks.processes import ROOT, BenchmarkError, run


def test_measures_a_process() -> None:
    size = 64 << 20
    code = f"import time; print('x', flush=True); b = b'1' * {size}; time.sleep(0.2)"
    found = run([sys.executable, "-I", "-S", "-c", code], watch_memory=True)
    assert found.stdout == "x\n"
    assert found.first_output_s is not None
    assert found.first_output_s + 0.2 < found.exit_s + 0.01
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
