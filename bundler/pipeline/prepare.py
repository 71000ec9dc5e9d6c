"""`prepare`: a source opened, hashed, quantised, planned and measured, in that order. Every verb begins with it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from sharkpack.bundler.background import BackgroundTask
from sharkpack.bundler.pipeline.output import OutputPath
from sharkpack.bundler.progress import Progress, Steps
from sharkpack.bundler.quantize import QuantizationReport, QuantizeOptions, plan_quantization
from sharkpack.bundler.sources import SourceDescription, SourceModel, open_source

Plan = TypeVar("Plan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(Generic[Plan]):
    """A model whose weights can be read, and what was planned from its description before they could.

    source: quantised, where that was asked for. sha256: of the source's files, once it is there.
    quantization: its report, filled in as `source` is read.
    """

    plan: Plan
    source: SourceModel
    sha256: Callable[[], str]
    quantization: QuantizationReport | None
    steps: Steps


@contextmanager
def prepare(
    source: str,
    make_plan: Callable[[SourceDescription], Plan],
    progress: Progress,
    *,
    quantize: QuantizeOptions | None = None,
    output: OutputPath | None = None,
    hashed: bool = True,
) -> Iterator[Prepared[Plan]]:
    """Open the model that `source` names and close it at the end. Raises SharkpackError for whatever a user can mend.

    make_plan: given what the model will be, quantised; it cannot read the weights. quantize: None keeps the types.
    output: refused here where it must not be written. hashed: whether to hash the source while all this goes on;
    otherwise `sha256` does it when it is called.
    """
    steps = Steps(progress)
    if output is not None:
        output.check(source)
    with open_source(source, progress) as opened:
        if output is not None:
            output.check_not_in(opened.files)
        # Hashing a source that is not in memory yet also reads it for the weights, while the plan is made.
        sha256 = BackgroundTask(opened.sha256).result if hashed else opened.sha256
        chosen = None if quantize is None else plan_quantization(opened, quantize)
        with steps("plan"):
            plan = make_plan(opened if chosen is None else chosen.description)
        quantized = None if chosen is None else chosen.apply(steps)
        yield Prepared(
            plan=plan,
            source=opened if quantized is None else quantized.model,
            sha256=sha256,
            quantization=None if quantized is None else quantized.report,
            steps=steps,
        )
