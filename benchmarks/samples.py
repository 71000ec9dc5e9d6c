"""Samples, and what is made of them: medians, spreads, ratios. Pure."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.tasks import METRICS, TASKS, Metric, Task

BUSY_SHARE = 0.15
"""A sample is quiet if other processes used no more of the machine's CPU time than this."""

Engine = Literal["sharkpack", "llama.cpp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One number that one process gave. others_share: how busy other processes kept the machine, 0 to 1."""

    model: str
    threads: int
    task: str
    metric: str
    engine: Engine
    round: int
    value: float
    others_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians of both engines for one number. ratio: ours / llama.cpp's, whichever way is better.

    Of the quiet samples where both engines have some; count is the smaller number of samples.
    """

    model: str
    threads: int
    task: str
    metric: Metric
    ours: float
    theirs: float
    ours_range: tuple[float, float]
    theirs_range: tuple[float, float]
    count: int
    others_share: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs if self.theirs else float("nan")

    @property
    def is_better(self) -> bool:
        return self.ratio >= 1 if self.metric.higher_is_better else self.ratio <= 1


def compare(samples: Iterable[Sample]) -> list[Comparison]:
    """One comparison for each model, thread count and number that both engines have, in the order of the samples."""
    groups: dict[tuple[str, int, str, str], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.model, sample.threads, sample.task, sample.metric), []).append(sample)
    found = []
    for (model, threads, task, metric), everything in groups.items():
        group = quiet_ones(everything)
        ours = [sample.value for sample in group if sample.engine == "sharkpack"]
        theirs = [sample.value for sample in group if sample.engine == "llama.cpp"]
        if ours and theirs:
            found.append(
                Comparison(
                    model=model,
                    threads=threads,
                    task=task,
                    metric=metric_of(TASKS[task], metric),
                    ours=statistics.median(ours),
                    theirs=statistics.median(theirs),
                    ours_range=(min(ours), max(ours)),
                    theirs_range=(min(theirs), max(theirs)),
                    count=min(len(ours), len(theirs)),
                    others_share=statistics.median(sample.others_share for sample in group),
                )
            )
    return found


def quiet_ones(samples: list[Sample]) -> list[Sample]:
    """Those taken while the machine did little else, if both engines have some; else all of them."""
    quiet = [sample for sample in samples if sample.others_share <= BUSY_SHARE]
    return quiet if {sample.engine for sample in quiet} == {sample.engine for sample in samples} else samples


def metric_of(task: Task, name: str) -> Metric:
    """The task's metric of that name."""
    return next(metric for metric in METRICS[task.kind] if metric.name == name)
