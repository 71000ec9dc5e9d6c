"""The command line as users have it: in a process of its own, or for builds in this one, which has torch already."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sharkpack.cli.main import main

SHARKPACK = (sys.executable, "-m", "sharkpack.cli.main")
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one command line did."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The message of a failure that printed its one line and nothing else."""
        assert (self.status, self.out) == (2, ""), self
        assert self.err.startswith("error: "), self
        assert self.err.count("\n") == 1, self
        return self.err.removeprefix("error: ").removesuffix("\n")


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
        timeout=300,
        check=False,
    )
    return Outcome(status=done.returncode, out=done.stdout.decode("utf-8"), err=done.stderr.decode("utf-8"))


def build(source: Path, *options: str | Path) -> int:
    """Run `sharkpack build SOURCE --quiet OPTION...` in this process; returns its exit status."""
    return main(["build", str(source), "--quiet", *map(str, options)])


def python(code: str, *arguments: object) -> str:
    """Run a program in a fresh interpreter that must end well and say nothing on stderr; returns its output."""
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
