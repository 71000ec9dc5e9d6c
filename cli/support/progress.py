"""Progress of a build: bars on a terminal, silence anywhere else."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import rich.progress


class ProgressStep(Protocol):
    """One running step; `advance` says that `n` more units of its total are done."""

    def advance(self, n: int = 1) -> None: ...


class SilentProgress:
    """Shows nothing: for pipes, logs and --quiet."""

    shown = False

    def step(self, name: str, total: int | None = None) -> AbstractContextManager[ProgressStep]:
        return nullcontext(_SilentStep())


class TerminalProgress:
    """One bar a step on stderr; a finished step stays on screen with the time it took. Draws from the first step on:
    what goes before may have bars of its own."""

    shown = True

    def __init__(self, bars: "rich.progress.Progress") -> None:
        self._bars = bars

    @contextmanager
    def step(self, name: str, total: int | None = None) -> Iterator[ProgressStep]:
        """`total` in any unit that `advance` counts too; None shows that work goes on, without a measure."""
        self._bars.start()
        task = self._bars.add_task(name, total=total)
        yield _TerminalStep(self._bars, task)
        done = self._bars.tasks[self._bars.task_ids.index(task)]
        self._bars.update(task, total=done.total or 1, completed=done.total or 1)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[SilentProgress | TerminalProgress]:
    """The progress display that fits stderr."""
    if quiet or not sys.stderr.isatty():
        yield SilentProgress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bars = Progress(*columns, console=Console(stderr=True))
    try:
        yield TerminalProgress(bars)
    finally:
        bars.stop()


class _SilentStep:
    def advance(self, n: int = 1) -> None:
        pass


class _TerminalStep:
    def __init__(self, bars: "rich.progress.Progress", task: "rich.progress.TaskID") -> None:
        self._bars = bars
        self._task = task

    def advance(self, n: int = 1) -> None:
        self._bars.advance(self._task, n)
