"""Progress on a terminal and away from one."""

import io
import sys

import pytest

from sharkpack.cli.support.progress import SilentProgress, show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "quiet"), [(io.StringIO(), False), (Terminal(), True)])
def test_silence(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, quiet: bool) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with show_progress(quiet=quiet) as progress:
        assert isinstance(progress, SilentProgress)
        with progress.step("weights", 2) as step:
            step.advance(1)
    assert stream.getvalue() == ""


def test_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with show_progress(quiet=False) as progress:
        with progress.step("weights", 4) as step:
            step.advance(1)
            step.advance(3)
        with progress.step("trace"):
            pass
    shown = terminal.getvalue()
    assert "weights" in shown
    assert "trace" in shown
    assert "100%" in shown
