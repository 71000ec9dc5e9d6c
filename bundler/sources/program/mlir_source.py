"""`program.mlir` as a source model: the text, the description beside it, and the parameters that this names."""

import re
from dataclasses import fields
from pathlib import Path

from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.program.mlir_program import MlirProgram
from sharkpack.bundler.sources.program.mlir_text import read_mlir
from sharkpack.bundler.sources.program.parameter_file import open_parameters
from sharkpack.bundler.sources.program.program_source import program_source
from sharkpack.bundler.sources.program_description import ProgramDescription, description_path, read_description

_STEP = re.compile(r"(?:prefill|decode)_bs([1-9]\d*)")


def open_mlir(path: Path) -> SourceModel:
    """Read the program at `path`, and nothing of its weights. SharkpackError for whatever of the three files is missing
    or does not agree with the others; what its functions take is checked when a build is planned."""
    code = read_mlir(path)
    description, parameters = read_description(path)
    sizes = {int(found[1]) for found in map(_STEP.fullmatch, code.functions) if found}
    values = {each.name: getattr(description, each.name) for each in fields(ProgramDescription)}
    program = MlirProgram(code=code, batch_sizes=tuple(sorted(sizes)), **values)
    weights = open_parameters(parameters, code)
    files = (path, description_path(path), parameters)
    return program_source("mlir", files, program, weights.tensors, weights.close)
