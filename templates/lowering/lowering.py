"""Protocol for a target's lowering, and the linking of its output into a program for the compiler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sharkpack.templates.lowering.parse import has_calls, parse
from sharkpack.templates.lowering.program import Function

Activations = Literal["int8", "float32"]
"""What matmuls of quantised weights take."""

_MODULE = "module @module {\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """Something that lowered functions call, by its name.

    aliases: lines that stand above the module. write: makes its text, once a program, if it is called at all.
    """

    name: str
    aliases: str = ""
    write: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """A function without calls of operators: the lines of its body, and what they call by name."""

    body: tuple[str, ...]
    definitions: Mapping[str, Definition]


class Lowering(Protocol):
    """Protocol for how a target computes the operators: fusion, precision and kernels.

    A frozen dataclass of plain values, as keys of the compile cache hold it.
    """

    @property
    def activations(self) -> Activations: ...

    def with_activations(self, activations: Activations) -> "Lowering":
        """The same lowering in that precision. Raises SharkpackError where there is none."""
        ...

    def lower(self, function: Function) -> Lowered:
        """Write a function's calls as kernels of the target. Equal names in all functions mean equal definitions."""
        ...


def link(text: str, lowering: Lowering) -> str:
    """A traced program's text -> the text that the compiler takes for a target; one without calls of ours is kept."""
    if not has_calls(text):
        return text
    program = parse(text)
    definitions: dict[str, Definition] = {}
    functions: list[str] = []
    for function in program.functions:
        lowered = lowering.lower(function)
        definitions |= lowered.definitions
        functions += [function.header, *lowered.body, "  }"]
    called = [definitions[name] for name in sorted(definitions)]
    before, module, parameters = program.opening.partition(_MODULE)
    aliases = [definition.aliases for definition in called if definition.aliases]
    bodies = [definition.write() for definition in called]
    return "\n".join([*aliases, before + module, *bodies, parameters, *functions, program.closing, ""])
