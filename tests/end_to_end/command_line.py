"""The command line as users have it: in a process of its own, or for builds in this one, which has torch already."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sharkpack.cli.main import main
from tests.outcome import Outcome

SHARKPACK = (sys.executable, "-m", "sharkpack.cli.main")
ROOT = Path(__file__).resolve().parents[2]


def sharkpack(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Outcome:
    """Run `sharkpack ARGUMENT...` as a process."""
    done = subprocess.run(
        [*SHARKPACK, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return Outcome(status=done.returncode, out=done.stdout.decode("utf-8"), err=done.stderr.decode("utf-8"))


def build(source: Path, *options: str | Path) -> int:
    """Run `sharkpack build SOURCE --quiet OPTION...` in this process; returns its exit status."""
    return main(["build", str(source), "--quiet", *map(str, options)])


def python(code: str, *arguments: object) -> str:
    """Run a program in a fresh interpreter that must end well and say nothing on stderr; returns its output."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
