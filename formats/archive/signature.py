"""The program ABI: the only contract between whoever compiles a bundle's modules and whoever calls them.

Declares; `generate_signature` says whether this version can call what is declared.
"""

from dataclasses import dataclass, replace
from typing import Annotated

from sharkpack.formats.archive.manifest_object import Key, ManifestObject, refuse
from sharkpack.formats.archive.memory import Memory, PagePool

ABI_VERSION = 1
_SIZE_NAME = r"[A-Za-z0-9_]+(\*[A-Za-z0-9_]+)*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument(ManifestObject):
    """One input or output of a function, known by its role. `memory` names what it is a part, or the table, of.

    shape: a number where a dimension is fixed, a name where each call chooses it. Of role `memory`, dtype and shape
    are those of the memory, and None here.
    """

    role: Annotated[str, Key("What it is to the model.")]
    memory: Annotated[str | None, Key("Name of the memory that it belongs to.")] = None
    dtype: Annotated[str | None, Key("IREE's name of the element type.")] = None
    shape: Annotated[
        tuple[int | str, ...] | None,
        Key("Sizes: numbers, or names where each call chooses.", minimum=1, pattern=_SIZE_NAME),
    ] = None

    def __str__(self) -> str:
        kind = "x".join(map(str, (*(self.shape or ()), self.dtype or "")))
        return f"{self.role} {kind}" if kind else self.role


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPoint(ManifestObject):
    """A function of a module, its inputs and outputs in order. `kind` is the task that it is a part of."""

    kind: Annotated[str, Key("The task: generate, embed, rerank, draft, encode.")]
    function: Annotated[str, Key("Name of the function.")]
    inputs: Annotated[tuple[Argument, ...], Key("Its arguments, in order.")]
    outputs: Annotated[tuple[Argument, ...], Key("Its results, in order.")]

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """All inputs, then all outputs."""
        return (*self.inputs, *self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(ManifestObject):
    """Functions of any target's module, and the memory that they share. Lengths in tokens; see docs/format.md."""

    version: Annotated[int, Key("Version of the ABI.", minimum=1, required=True)] = ABI_VERSION
    module: Annotated[str, Key("Name of the module.", required=True)] = "module"
    context_length: Annotated[int, Key("Tokens a sequence may have.", minimum=1)]
    vocab_size: Annotated[int, Key("Token ids are below it.", minimum=1)]
    hidden_size: Annotated[int | None, Key("Elements of a row of `hidden`.", minimum=1)] = None
    entry_points: Annotated[tuple[EntryPoint, ...], Key("Functions of the modules.")]
    memory: Annotated[tuple[Memory, ...], Key("What functions keep between calls.")] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The kinds of the entry points, each once."""
        return tuple(dict.fromkeys(entry.kind for entry in self.entry_points))

    def memory_named(self, name: str | None) -> Memory | None:
        """The memory that arguments call so."""
        return next((each for each in self.memory if each.name == name), None)

    def typed(self, argument: Argument) -> Argument:
        """The argument with its type and shape, where those are its memory's."""
        memory = self.memory_named(argument.memory)
        if argument.role != "memory" or not isinstance(memory, PagePool):
            return argument
        return replace(argument, dtype=memory.dtype, shape=("pages", memory.page_elements))

    def check(self) -> None:
        _check_distinct("memory", "name", [each.name for each in self.memory])
        _check_distinct("entry_points", "function", [each.function for each in self.entry_points])
        known = {None, *(each.name for each in self.memory)}
        for index, entry in enumerate(self.entry_points):
            for argument in entry.arguments:
                if argument.memory not in known:
                    refuse(f"entry_points[{index}]", f"{entry.function} has no memory {argument.memory!r} to use")


def _check_distinct(key: str, what: str, values: list[str]) -> None:
    for index, value in enumerate(values):
        if value in values[:index]:
            refuse(key, f"{what} {value!r} appears twice")
