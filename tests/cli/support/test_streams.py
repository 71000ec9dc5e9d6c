"""Standard streams that the parent left closed: no file of ours takes their place, and nothing is a defect."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "sharkpack.cli.main")


def _closed(number: int, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run with one of the three streams closed."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {number}>&-', *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


pytestmark = pytest.mark.skipif(not os.path.exists("/bin/sh"), reason="a shell closes the streams")  # noqa: PTH110


def test_closed_standard_input(bundle: Path) -> None:
    done = _closed(0, "run", bundle, "-")
    assert (done.returncode, done.stderr) == (2, "error: the prompt is empty: give at least one character\n")


def test_closed_standard_output(bundle: Path) -> None:
    done = _closed(1, "run", bundle, "abc", "--max-tokens", "2")
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_standard_error(bundle: Path, tmp_path: Path) -> None:
    done = _closed(2, "run", tmp_path / "none.shark", "abc")
    assert (done.returncode, done.stdout) == (2, "")
