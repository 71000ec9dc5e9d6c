"""The program as a bundle holds it: what a further target is compiled from, without source, torch or weights."""

import importlib.metadata
import json

from sharkpack.bundler.compile.program import ProgramText
from sharkpack.formats.archive.manifest import OperatorVersion, ProgramSource
from sharkpack.templates.lowering.operators import Operator
from sharkpack.templates.lowering.parse import operators_of

PROGRAM_PATH = "program/program.mlir.zst"
OPERATORS_PATH = "program/operators.json"


def program_source(program: ProgramText) -> ProgramSource:
    """Returns the manifest's entry of it: the text is bound to a version of MLIR, its calls to versions of
    operators."""
    return ProgramSource(
        path=PROGRAM_PATH,
        calls=OPERATORS_PATH,
        iree_compiler=importlib.metadata.version("iree-base-compiler"),
        operators=tuple(OperatorVersion(name=each.name, version=each.version) for each in operators_of(program.text)),
    )


def operators_json(program: ProgramText) -> bytes:
    """Returns the signatures of the operators that the text calls. The calls themselves are read from the text."""
    return (json.dumps([_declaration(each) for each in operators_of(program.text)], indent=1) + "\n").encode()


def _declaration(operator: Operator) -> dict[str, object]:
    return {
        "name": operator.name,
        "version": operator.version,
        "tensors": list(operator.tensors),
        "optional": sorted(operator.optional),
        "static": {name: kind.__name__ for name, kind in operator.static.items()},
        "results": list(operator.results),
    }
