"""Reads MLIR with the compiler's own parser. Knows functions and named parameters, not what they should be."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from iree.compiler import ir

from sharkpack.bundler.sources.program.mlir_program import Function, MlirText, Parameter, TensorType
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import START_BYTES, explain_missing, refuse_stand_in
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.io.text import decode_text

FUNCTIONS = ("func.func", "util.func")
_PLACE = re.compile(r":(\d+):\d+\)$")
_TENSOR = re.compile(r"tensor<((?:(?:\?|\d+)x)*)[us]?([a-z][A-Za-z0-9]*)>")
_TORCH_TENSOR = re.compile(r"!torch\.vtensor<\[([?\d,]*)\],[us]?([a-z][A-Za-z0-9]*)>")
_PARAMETER = re.compile(
    r'#(?:flow|stream)\.parameter\.named<(?:"((?:[^"\\]|\\.)*)"::)?"((?:[^"\\]|\\.)*)"> : (tensor<.*>)'
)
_BYTECODE = b"ML\xefR"
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})")


def read_mlir(path: Path) -> MlirText:
    """Parse the file at `path`; SharkpackError, with the line, for what the compiler would not take."""
    text = _text(path)
    with ir.Context():
        try:
            module = ir.Module.parse(text)
        except ir.MLIRError as error:
            raise SharkpackError(f"{path}{_explain(error)}") from error
        attributes = module.operation.attributes
        return MlirText(
            path=path,
            text=text,
            module=ir.StringAttr(attributes["sym_name"]).value if "sym_name" in attributes else None,
            functions=dict(_functions(module)),
            parameters=_parameters(path, module),
        )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SharkpackError(f"{path}: {explain_missing(path)}; expected a program as MLIR text") from error
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    if data.startswith(_BYTECODE):
        raise SharkpackError(f"{path} is MLIR bytecode; expected MLIR text, which iree-opt makes of it")
    refuse_stand_in(path, data[:START_BYTES])
    return decode_text(data, str(path))


def _explain(error: Any) -> str:
    """The first diagnostic and its line."""
    first = next(iter(error.error_diagnostics), None)
    if first is None:
        return f" is not MLIR that the compiler takes: {one_line(str(error))}"
    place = _PLACE.search(str(first.location))
    return f"{f', line {place[1]}' if place else ''}: {one_line(first.message.strip())}; expected MLIR for iree-compile"


def _functions(module: Any) -> Iterator[tuple[str, Function]]:
    for op in module.body.operations:
        attributes = op.operation.attributes
        private = "sym_visibility" in attributes and ir.StringAttr(attributes["sym_visibility"]).value != "public"
        if op.operation.name in FUNCTIONS and not private:
            type = ir.FunctionType(ir.TypeAttr(attributes["function_type"]).value)
            function = Function(inputs=tuple(map(_type, type.inputs)), outputs=tuple(map(_type, type.results)))
            yield ir.StringAttr(attributes["sym_name"]).value, function


def _type(value: Any) -> TensorType | str:
    """`tensor<1x?xi64>` and `!torch.vtensor<[1,?],si64>` alike; anything else as it is written."""
    text = str(value)
    found, separator = _TENSOR.fullmatch(text), "x"
    if found is None:
        found, separator = _TORCH_TENSOR.fullmatch(text), ","
    if found is None:
        return text
    sizes = [size for size in found[1].split(separator) if size]
    return TensorType(shape=tuple(None if size == "?" else int(size) for size in sizes), element=found[2])


def _parameters(path: Path, module: Any) -> tuple[Parameter, ...]:
    """Each once, in the order of the text."""
    found: dict[Parameter, None] = {}

    def visit(op: Any) -> Any:
        for name in op.attributes:
            for scope, key, kind in _PARAMETER.findall(_written(op.attributes[name])):
                type = _type(kind)
                if isinstance(type, str):
                    raise SharkpackError(f"{path}: parameter '{_plain(key)}' is {type}; expected a plain tensor")
                found[Parameter(scope=_plain(scope), name=_plain(key), type=type)] = None
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    return tuple(found)


def _written(attribute: Any) -> str:
    """Returns it as text; a constant's numbers, which may be millions, hold no parameter."""
    constant = isinstance(attribute, ir.DenseElementsAttr | ir.DenseResourceElementsAttr)
    return "" if constant else str(attribute)


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text).replace("\\\\", "\\")
