"""The command line as a whole: help, usage errors, exit statuses."""

import os
import re
import subprocess
import sys

import pytest

from sharkpack import __version__
from sharkpack.cli import devices
from sharkpack.cli.main import COMMANDS, main
from sharkpack.cli.support.console import write_table
from tests.cli.conftest import Sharkpack


def test_version(sharkpack: Sharkpack) -> None:
    assert sharkpack("--version").out == f"sharkpack {__version__}\n"


def test_help_names_every_command(sharkpack: Sharkpack) -> None:
    outcome = sharkpack("--help")
    assert outcome.status == 0
    assert [line.split()[0] for line in outcome.out.splitlines() if re.match(r" {4}\w", line)] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples(sharkpack: Sharkpack, command: str) -> None:
    outcome = sharkpack(command, "--help")
    assert outcome.status == 0
    assert f"examples:\n  sharkpack {command}" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND (see 'sharkpack --help')"),
        (("build",), "the following arguments are required: SOURCE (see 'sharkpack build --help')"),
        (("run", "model.shark"), "the following arguments are required: PROMPT (see 'sharkpack run --help')"),
        (("build", "m.gguf", "--frce"), "unrecognized arguments: --frce (see 'sharkpack --help')"),
        (
            ("build", "m.gguf", "--batch-sizes", "1,x"),
            "argument --batch-sizes: 'x' is not a whole number (see 'sharkpack build --help')",
        ),
        (
            ("build", "m.gguf", "--batch-sizes", "4,4"),
            "argument --batch-sizes: '4,4' names a batch size twice (see 'sharkpack build --help')",
        ),
        (
            ("build", "m.gguf", "--page-size", "0"),
            "argument --page-size: '0' is not above zero (see 'sharkpack build --help')",
        ),
    ],
)
def test_usage_errors(sharkpack: Sharkpack, arguments: tuple[str, ...], message: str) -> None:
    assert sharkpack(*arguments).error == message


def test_unknown_command(sharkpack: Sharkpack) -> None:
    assert "invalid choice: 'bild'" in sharkpack("bild").error


def test_defects_are_told_from_bad_input(sharkpack: Sharkpack, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise ZeroDivisionError("of the\nmind")

    monkeypatch.setattr(devices, "execute", fail)
    outcome = sharkpack("devices")
    assert outcome.status == 70
    assert outcome.err == "internal error: ZeroDivisionError: of the mind (set SHARKPACK_TRACEBACK=1 to see where)\n"
    monkeypatch.setenv("SHARKPACK_TRACEBACK", "1")
    assert "Traceback (most recent call last):" in sharkpack("devices").err


def test_what_a_terminal_would_obey_is_escaped(sharkpack: Sharkpack, capfd: pytest.CaptureFixture[str]) -> None:
    """Names come out of files of others."""
    assert "\\x1b[2J.gguf: no such file" in sharkpack("inspect", "\x1b[2J.gguf").error
    write_table(("name",), [("a\x1b[2J\nb",)])
    assert "a\\x1b[2J\\nb\n" in capfd.readouterr().out


def test_interrupt(sharkpack: Sharkpack, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(devices, "execute", interrupt)
    outcome = sharkpack("devices")
    assert (outcome.status, outcome.err) == (130, "interrupted\n")


def test_main_reads_the_process_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["sharkpack", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == f"sharkpack {__version__}\n"


def test_help_into_a_closed_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sharkpack.cli.main", "--help"]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert done.returncode in {0, 141}  # argparse itself forgives a closed pipe
    assert done.stderr == b""
