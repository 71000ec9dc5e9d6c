"""The tasks that are measured: pure data, the same for both engines."""

from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["prefill", "decode", "batch", "cold-start", "memory"]

CONTEXT = 2048
"""Tokens that both engines have room for, where a task does not need more."""

PROMPT = "The capital of France is"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """prompt: tokens before the measured part (prefill: the measured part). generated: tokens a sequence.

    skip_warm_up: tell llama.cpp's command line to leave out the empty pass that it makes first.
    """

    name: str
    kind: Kind
    prompt: int = 0
    generated: int = 0
    sequences: int = 1
    skip_warm_up: bool = False

    @property
    def context(self) -> int:
        """Tokens of one sequence that there has to be room for."""
        return max(CONTEXT, self.prompt + self.generated + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One number of a task. `higher_is_better` says how to read the ratio."""

    name: str
    unit: str
    higher_is_better: bool


METRICS: dict[Kind, tuple[Metric, ...]] = {
    "prefill": (Metric(name="speed", unit="tokens/s", higher_is_better=True),),
    "decode": (Metric(name="speed", unit="tokens/s", higher_is_better=True),),
    "batch": (Metric(name="speed", unit="tokens/s", higher_is_better=True),),
    "cold-start": (
        Metric(name="first token", unit="ms", higher_is_better=False),
        Metric(name="peak memory", unit="MB", higher_is_better=False),
    ),
    "memory": (
        Metric(name="peak memory", unit="MB", higher_is_better=False),
        Metric(name="anonymous", unit="MB", higher_is_better=False),
    ),
}

TASKS = {
    task.name: task
    for task in (
        Task(name="prefill-128", kind="prefill", prompt=128),
        Task(name="prefill-512", kind="prefill", prompt=512),
        Task(name="decode-32", kind="decode", prompt=32, generated=128),
        Task(name="decode-1024", kind="decode", prompt=1024, generated=128),
        Task(name="decode-4096", kind="decode", prompt=4096, generated=32),
        Task(name="batch-4", kind="batch", prompt=32, generated=64, sequences=4),
        Task(name="batch-8", kind="batch", prompt=32, generated=64, sequences=8),
        Task(name="cold-start", kind="cold-start", generated=1),
        Task(name="cold-start-no-warm-up", kind="cold-start", generated=1, skip_warm_up=True),
        Task(name="memory", kind="memory", prompt=512, generated=16),
    )
}
QUICK = ("prefill-128", "decode-32", "batch-8", "cold-start", "memory")


def choose_tasks(names: list[str] | None, *, quick: bool) -> list[Task]:
    """The tasks of a run: those named, else all, or the quick ones with a quarter of the tokens."""
    chosen = [TASKS[name] for name in names or (QUICK if quick else TASKS)]
    if not quick:
        return chosen
    return [replace(task, generated=-(-task.generated // 4)) for task in chosen]
