"""Lowers functions without kernels: a call of an operator becomes a call of a function in linalg."""

import functools
import hashlib
from dataclasses import dataclass
from typing import Self

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.lowering.generic.operators import LAYER, write
from sharkpack.templates.lowering.lowering import Activations, Definition, Lowered
from sharkpack.templates.lowering.program import Function, OperatorCall
from sharkpack.templates.lowering.text import Buffer, Lines


@dataclass(frozen=True, slots=True)
class Generic:
    """Lowering to portable linalg with float32 activations."""

    @property
    def activations(self) -> Activations:
        return "float32"

    def with_activations(self, activations: Activations) -> Self:
        if activations != self.activations:
            raise SharkpackError(
                f"the generic lowering has no {activations} activations, only float32: leave --activations out"
            )
        return self

    def lower(self, function: Function) -> Lowered:
        lines, definitions = Lines.of(function), {}
        for line in function.body:
            if isinstance(line, OperatorCall):
                definition = _definition(line)
                definitions[definition.name] = definition
                _call(lines, definition.name, line)
            else:
                lines.keep(line)
        return Lowered(body=tuple(lines.lines), definitions=definitions)


def _definition(call: OperatorCall) -> Definition:
    """Defines the function for a call: the same for all calls that differ only in the layer."""
    types = [(name, value and value.tensor_type) for name, value in call.inputs.items()]
    static = [(name, value) for name, value in call.static.items() if name != LAYER]
    digest = hashlib.sha256(repr((types, static)).encode()).hexdigest()
    name = f"generic_{call.operator}_{digest[:16]}"
    return Definition(name=name, write=functools.partial(write, name, call))


def _call(lines: Lines, name: str, call: OperatorCall) -> None:
    inputs = [value for value in call.inputs.values() if value is not None]
    arguments = [lines.cast(value, value.tensor_type) for value in inputs]
    types = [value.tensor_type for value in inputs]
    if LAYER in call.static:
        arguments.append(lines.op(f"arith.constant {call.integer(LAYER)} : index"))
        types.append("index")
    results = call.results.values()
    made = lines.call(name, arguments, types, [result.tensor_type for result in results])
    for found, result in zip(made, results, strict=True):
        lines.as_torch(Buffer(found, result.shape, result.tensor_type), result)
