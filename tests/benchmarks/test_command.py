"""The end of a command: one line of error, and its exit status."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.command import run_command
from benchmarks.processes import BenchmarkError
from sharkpack.formats.errors import SharkpackError


@pytest.fixture(autouse=True)
def handler_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_its_status_is_that_of_the_command() -> None:
    assert run_command(lambda words: 1) == 1


@pytest.mark.parametrize("kind", [BenchmarkError, SharkpackError])
def test_an_error_is_one_line(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    def fail(words: list[str]) -> int:
        raise kind("no model: give one")

    assert run_command(fail) == 2
    assert capsys.readouterr().err == "error: no model: give one\n"


def test_a_file_in_the_way_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()

    def make_folder(words: list[str]) -> int:
        file.mkdir()
        return 0

    assert run_command(make_folder) == 2
    assert capsys.readouterr().err == f"error: {file}: File exists\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ending_it_is_no_traceback(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(words: list[str]) -> int:
        os.kill(os.getpid(), number)
        return 0

    assert run_command(interrupted) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    program = "from benchmarks.command import run_command; import sys; sys.exit(run_command(lambda _: print('x') or 0))"
    reader, writer = os.pipe()
    os.close(reader)
    found = subprocess.run([sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (found.returncode, found.stderr) == (141, b"")
