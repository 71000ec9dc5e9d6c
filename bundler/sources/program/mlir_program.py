"""A program that is MLIR text, as far as it is looked at: its functions and the parameters that it names. Data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sharkpack.bundler.sources.program_description import ProgramDescription


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """A tensor's sizes, None where each call chooses, and its element as MLIR writes it: `f32`, `i64`."""

    shape: tuple[int | None, ...]
    element: str

    def __str__(self) -> str:
        sizes = "".join("?x" if size is None else f"{size}x" for size in self.shape)
        return f"tensor<{sizes}{self.element}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """The types that a public function takes and returns; a string is a type that is no tensor."""

    inputs: tuple[TensorType | str, ...]
    outputs: tuple[TensorType | str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A tensor that the text takes from a parameter file."""

    scope: str
    name: str
    type: TensorType


@dataclass(frozen=True, slots=True, kw_only=True)
class MlirText:
    """A module that parses: what it is called, if anything, and what is in it."""

    path: Path
    text: str = field(repr=False)
    module: str | None
    functions: Mapping[str, Function]
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MlirProgram(ProgramDescription):
    """A text and its signature; for each of `batch_sizes` it has one of the two functions at least."""

    code: MlirText
    batch_sizes: tuple[int, ...]
