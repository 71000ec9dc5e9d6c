"""`convert_model`: source -> tensors and metadata -> plan -> file, some rows of one tensor in memory at a time."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from sharkpack.bundler.convert.gguf_metadata import gguf_metadata
from sharkpack.bundler.convert.gguf_tensors import gguf_tensors
from sharkpack.bundler.convert.options import ConvertOptions, ConvertReport
from sharkpack.bundler.pipeline.output import check_not_source, check_output
from sharkpack.bundler.prefetch import prefetch
from sharkpack.bundler.progress import Advance, Progress
from sharkpack.bundler.quantize import quantize_source
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel, SourceTensor
from sharkpack.bundler.steps import Steps
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OutputFile
from sharkpack.formats.model_files.gguf_writer import TensorSpec, plan_gguf
from sharkpack.formats.model_files.irpa import plan_irpa
from sharkpack.formats.model_files.tensor_file import TensorFilePlan, write_tensors
from sharkpack.formats.model_files.tensor_note import write_note

PIECE_BYTES = 1 << 20
PREFETCHED_PIECES = 8

Layout = Callable[[SourceModel], tuple[TensorFilePlan, Sequence[SourceTensor]]]


def convert_model(options: ConvertOptions, progress: Progress) -> ConvertReport:
    """Write the source as the file that the options name. Raises SharkpackError for anything that a user can mend;
    nothing is left half-written."""
    steps = Steps(progress)
    layout = _layout(options)
    check_output(options.output, options.source, force=options.force)
    with open_source(options.source, progress) as source:
        check_not_source(options.output, source.files)
        quantized = None if options.quantize is None else quantize_source(source, options.quantize)
        with steps("plan"):
            plan, tensors = layout(source if quantized is None else quantized.model)
        if quantized is not None:
            quantized.measure(steps)
        with steps("weights", sum(tensor.nbytes for tensor in tensors)) as done:
            _write(plan, tensors, options, done)
    return ConvertReport(
        path=options.output,
        size=plan.total_size,
        source_size=source.size,
        tensors=len(tensors),
        step_seconds=steps.seconds,
        quantization=None if quantized is None else quantized.report,
    )


def _layout(options: ConvertOptions) -> Layout:
    found = LAYOUTS.get(options.output.suffix.lower())
    if found is None:
        raise SharkpackError(f"output {options.output}: end its name in {' or '.join(LAYOUTS)}, to say what to write")
    return found


def _gguf(source: SourceModel) -> tuple[TensorFilePlan, Sequence[SourceTensor]]:
    if source.program is not None:
        raise SharkpackError(f"{source.path}: GGUF has no form for a program; write its weights as .irpa")
    tensors = gguf_tensors(source)
    specs = [TensorSpec(name=each.name, shape=each.shape, type_name=each.type_name) for each in tensors]
    return plan_gguf(gguf_metadata(source), specs), tensors


def _irpa(source: SourceModel) -> tuple[TensorFilePlan, Sequence[SourceTensor]]:
    tensors = list(source.tensors.values())
    notes = {tensor.name: write_note(tensor.type_name.lower(), tensor.shape) for tensor in tensors}
    return plan_irpa([(tensor.name, tensor.nbytes) for tensor in tensors], notes=notes), tensors


LAYOUTS: dict[str, Layout] = {".gguf": _gguf, ".irpa": _irpa}


def _write(plan: TensorFilePlan, tensors: Sequence[SourceTensor], options: ConvertOptions, done: Advance) -> None:
    file = OutputFile(options.output, overwrite=options.force)
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
