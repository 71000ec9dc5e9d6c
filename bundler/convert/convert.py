"""`convert_model`: prepared model -> file, some rows of one tensor in memory at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.background import prefetch
from sharkpack.bundler.convert.gguf_metadata import gguf_metadata
from sharkpack.bundler.convert.gguf_tensors import gguf_specs, gguf_tensors
from sharkpack.bundler.convert.options import ConvertOptions, ConvertReport
from sharkpack.bundler.pipeline.output import OutputPath
from sharkpack.bundler.pipeline.prepare import prepare
from sharkpack.bundler.progress import Advance, Progress
from sharkpack.bundler.sources.model import SourceDescription, SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OutputFile
from sharkpack.formats.model_files.gguf_writer import plan_gguf
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import TensorFilePlan, write_tensors
from sharkpack.formats.model_files.tensor_note import write_note

PIECE_BYTES = 1 << 20
PREFETCHED_PIECES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _FilePlan:
    """The plan of a file, and what it will not say of its source, a sentence each."""

    file: TensorFilePlan
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layout:
    """A kind of file. plan: what a model's file will be, by its description. tensors: what it has, in its order."""

    plan: Callable[[SourceDescription], _FilePlan]
    tensors: Callable[[SourceModel], Sequence[SourceTensor]]


def convert_model(options: ConvertOptions, progress: Progress) -> ConvertReport:
    """Write the source as the file that the options name. Raises SharkpackError for anything that a user can mend;
    nothing is left half-written."""
    layout = _layout(options)
    output = OutputPath(path=options.output, overwrite=options.force)
    with prepare(
        options.source, layout.plan, progress, quantize=options.quantize, output=output, hashed=False
    ) as prepared:
        tensors = layout.tensors(prepared.source)
        with prepared.steps("weights", sum(tensor.nbytes for tensor in tensors)) as done:
            _write(prepared.plan.file, tensors, output, done)
    return ConvertReport(
        path=output.path,
        size=prepared.plan.file.total_size,
        source_size=prepared.source.size,
        tensors=len(tensors),
        warnings=prepared.plan.warnings,
        step_seconds=prepared.steps.seconds,
        quantization=prepared.quantization,
    )


def _layout(options: ConvertOptions) -> Layout:
    found = LAYOUTS.get(options.output.suffix.lower())
    if found is None:
        raise SharkpackError(f"output {options.output}: end its name in {' or '.join(LAYOUTS)}, to say what to write")
    return found


def _plan_gguf(source: SourceDescription) -> _FilePlan:
    if source.program is not None:
        raise SharkpackError(f"{source.path}: GGUF has no form for a program; write its weights as .irpa")
    metadata, warnings = gguf_metadata(source)
    return _FilePlan(file=plan_gguf(metadata, gguf_specs(source)), warnings=warnings)


def _plan_irpa(source: SourceDescription) -> _FilePlan:
    tensors = source.tensors.values()
    notes = {tensor.name: write_note(tensor.type_name.lower(), tensor.shape) for tensor in tensors}
    return _FilePlan(file=plan_irpa([(tensor.name, tensor.nbytes) for tensor in tensors], notes=notes))


LAYOUTS = {
    ".gguf": Layout(plan=_plan_gguf, tensors=gguf_tensors),
    ".irpa": Layout(plan=_plan_irpa, tensors=lambda source: list(source.tensors.values())),
}


def _write(plan: TensorFilePlan, tensors: Sequence[SourceTensor], output: OutputPath, done: Advance) -> None:
    file = OutputFile(output.path, overwrite=output.overwrite)
    try:
        file.check_space(plan.total_size)
        with closing(prefetch(_pieces(tensors, done), PREFETCHED_PIECES)) as pieces:
            write_tensors(plan, file, pieces)
        file.publish()
    finally:
        file.discard()


def _pieces(tensors: Sequence[SourceTensor], done: Advance) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Each tensor's bytes, some rows at a time."""
    for tensor in tensors:
        rows = math.prod(tensor.shape[:-1])
        step = max(PIECE_BYTES * rows // tensor.nbytes, 1)
        for start in range(0, rows, step):
            piece = np.ascontiguousarray(tensor.rows(slice(start, min(start + step, rows))))
            yield tensor.name, piece
            done.advance(piece.nbytes)
        tensor.release()
