"""One run: the two engines in turn, A B A B, each sample a fresh process, and the machine's peaks in between."""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.llama_cpp import LlamaCppEngine, requantise
from benchmarks.llama_cpp_build import LlamaCpp
from benchmarks.machine import this_machine
from benchmarks.models import Model
from benchmarks.peaks import measure_peaks
from benchmarks.processes import BenchmarkError, wait_for_quiet
from benchmarks.result import Result
from benchmarks.samples import BUSY_SHARE, Engine, Sample
from benchmarks.sharkpack_engine import BATCH_SIZES, SharkpackEngine, build_bundle
from benchmarks.tasks import Task
from benchmarks.weights import trained_context, weights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The measurements to take. repeats: of a prefill in one process. quiet_wait_s: to spend on a quiet sample.

    seconds: after which no further model is begun.
    """

    models: tuple[Model, ...]
    tasks: tuple[Task, ...]
    threads: tuple[int, ...]
    rounds: int
    repeats: int
    quiet_wait_s: float
    seconds: float
    work: Path
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both engines, ready to measure one model."""

    model: Model
    ours: SharkpackEngine
    theirs: LlamaCppEngine


def measure(plan: Plan, llama_cpp: LlamaCpp, progress: Callable[[str], None]) -> Result:
    """Build the bundles, then measure round by round. Ctrl-C ends it with what there is."""
    started = time.perf_counter()
    result = Result(
        machine=this_machine(),
        command=plan.command,
        llama_cpp={"version": llama_cpp.version, "note": llama_cpp.note},
    )
    pairs = [prepare(model, plan, llama_cpp, result, progress) for model in plan.models]
    try:
        for number, threads, pair in itertools.product(range(plan.rounds), plan.threads, pairs):
            if time.perf_counter() - started < plan.seconds:
                progress(f"round {number + 1} of {plan.rounds}, threads: {threads}")
                wait_for_quiet(plan.quiet_wait_s)
                result.peaks.append(measure_peaks(pair.model.name, pair.ours.bundle, threads))
                measure_pair(pair, plan, threads, number, progress, result)
    except KeyboardInterrupt:
        progress("interrupted: what follows is what there is")
    result.seconds = time.perf_counter() - started
    return result


def prepare(model: Model, plan: Plan, llama_cpp: LlamaCpp, result: Result, progress: Callable[[str], None]) -> Pair:
    """Build the model's bundle afresh, with this checkout."""
    progress(f"building {model.name}")
    bundle = plan.work / f"{model.name}.shark"
    context = min(trained_context(model.path), max(task.context for task in plan.tasks))
    options = ("--batch-sizes", BATCH_SIZES, "--context", str(context))
    result.build_seconds[model.name] = build_bundle(model.path, bundle, *options)
    result.weights[model.name] = weights_of(model.path, bundle)
    ours = SharkpackEngine(bundle=bundle)
    ours.warm_up()
    return Pair(model=model, ours=ours, theirs=LlamaCppEngine(programs=llama_cpp.programs, model=model.path))


def measure_pair(
    pair: Pair, plan: Plan, threads: int, number: int, progress: Callable[[str], None], result: Result
) -> None:
    """Add samples of every task, once with each engine; who goes first alternates from round to round.

    A task that an engine fails at is left out and the failure kept: what the others say stands.
    """
    engines: Sequence[tuple[Engine, SharkpackEngine | LlamaCppEngine]]
    engines = [("sharkpack", pair.ours), ("llama.cpp", pair.theirs)]
    for task in plan.tasks:
        title, found = f"{pair.model.name} {task.name}", {}
        try:
            for name, engine in engines if number % 2 == 0 else reversed(engines):
                found[name] = samples_of(engine, name, pair, task, plan, threads, number)
        except BenchmarkError as error:
            result.failures.append(f"{title}, threads: {threads}: {error}")
            progress(f"  {title} left out: {error}")
            continue
        result.samples += [*found["sharkpack"], *found["llama.cpp"]]
        progress(f"  {title}: {found['sharkpack'][0].value:.1f} beside {found['llama.cpp'][0].value:.1f}")


def samples_of(
    engine: SharkpackEngine | LlamaCppEngine,
    name: Engine,
    pair: Pair,
    task: Task,
    plan: Plan,
    threads: int,
    number: int,
) -> list[Sample]:
    """A sample for each number of one process: of the quietest, if others disturb and the time allows several."""
    repeats = plan.repeats if task.kind == "prefill" else 1
    started, found = time.perf_counter(), None
    while found is None or (found[0].others_share > BUSY_SHARE and time.perf_counter() - started < plan.quiet_wait_s):
        wait_for_quiet(plan.quiet_wait_s - (time.perf_counter() - started))
        again = engine.measure(task, threads, repeats=repeats)
        found = again if found is None or again[0].others_share < found[0].others_share else found
    process, values = found
    return [
        Sample(
            model=pair.model.name,
            threads=threads,
            task=task.name,
            metric=metric,
            engine=name,
            round=number,
            value=value,
            others_share=process.others_share,
        )
        for metric, numbers in values.items()
        for value in numbers
    ]


def requantised(model: Model, type_name: str, llama_cpp: LlamaCpp, work: Path) -> Model:
    """The model quantised again to another type, by llama.cpp; made once."""
    if not type_name.replace("_", "").isalnum():
        raise BenchmarkError(f"{type_name!r} is not a type of llama-quantize: give one such as q4_0")
    target = work / f"{model.path.stem}-requantised-{type_name.lower()}.gguf"
    if not target.exists():
        requantise(llama_cpp.programs, model.path, target, type_name)
    return Model(name=f"{model.name}-{type_name.lower()}", path=target)
