"""Everything one run found, and its JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.peaks import Peaks
from benchmarks.samples import Comparison, Sample, compare
from benchmarks.tasks import TASKS
from benchmarks.weights import Weights

VERSION = 1


@dataclass(kw_only=True)
class Result:
    """weights, build_seconds: by the model's name. peaks: several a thread count, spread over the run.

    failures: what was left out of `samples`, and why.
    """

    machine: Machine
    command: str
    llama_cpp: dict[str, str]
    samples: list[Sample] = field(default_factory=list)
    peaks: list[Peaks] = field(default_factory=list)
    weights: dict[str, Weights] = field(default_factory=dict)
    build_seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def comparisons(self) -> list[Comparison]:
        return compare(self.samples)

    def bandwidth(self, model: str, threads: int) -> float:
        """The best bytes a second at which a model's weights were read in this run; nan where it was not measured."""
        found = (peak.bandwidth for peak in self.peaks if (peak.model, peak.threads) == (model, threads))
        return max(found, default=float("nan"))

    def macs(self, threads: int) -> float:
        """The most multiply-adds a second that integer dot products reached in this run; nan where not measured."""
        return max((peak.macs for peak in self.peaks if peak.threads == threads), default=float("nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fraction:
    """One of our medians as a share of the machine's peak. `what`: "bandwidth" or "int8 multiply-adds"."""

    model: str
    threads: int
    task: str
    what: str
    reached: float
    possible: float

    @property
    def value(self) -> float:
        return self.reached / self.possible


def fractions(result: Result) -> Iterator[Fraction]:
    """Shares of the read bandwidth for decoding one sequence, of the int8 multiply-adds for prefill."""
    for found in result.comparisons:
        task, weights = TASKS[found.task], result.weights[found.model]
        if task.kind == "decode":
            what, possible = "bandwidth", result.bandwidth(found.model, found.threads)
            reached = found.ours * weights.bytes_per_token
        elif task.kind == "prefill":
            what, possible = "int8 multiply-adds", result.macs(found.threads)
            reached = found.ours / task.prompt * weights.prefill_macs(task.prompt)
        else:
            continue
        yield Fraction(
            model=found.model, threads=found.threads, task=found.task, what=what, reached=reached, possible=possible
        )


def to_json(result: Result) -> str:
    """Every sample, what was made of them, and what they were measured on."""
    comparisons = [{**asdict(found), "ratio": found.ratio} for found in result.comparisons]
    parts = [{**asdict(found), "fraction": found.value} for found in fractions(result)]
    document: dict[str, Any] = {"version": VERSION, **asdict(result), "comparisons": comparisons, "fractions": parts}
    return json.dumps(document, indent=1) + "\n"


def write_json(result: Result, path: Path) -> None:
    """Write `to_json` to a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(result), encoding="utf-8")
