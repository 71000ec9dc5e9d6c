"""A traced program as data: functions whose lines are text of the torch dialect or calls of neutral operators."""

from collections.abc import Mapping
from dataclasses import dataclass

from sharkpack.templates.lowering.operators import Scalar


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of a function: its SSA name, sizes (None: known at run time) and element type, as torch writes it."""

    name: str
    shape: tuple[int | None, ...]
    element: str

    @property
    def torch_type(self) -> str:
        """The torch type, as in `!torch.vtensor<[?,576],f32>`."""
        return f"!torch.vtensor<[{','.join('?' if size is None else str(size) for size in self.shape)}],{self.element}>"

    @property
    def tensor_type(self) -> str:
        """The builtin type of the same tensor, as in `tensor<?x576xf32>`; integers have no sign there."""
        element = self.element.removeprefix("s") if self.element.startswith("si") else self.element
        return f"tensor<{''.join('?x' if size is None else f'{size}x' for size in self.shape)}{element}>"


@dataclass(frozen=True, slots=True, eq=False)
class OperatorCall:
    """One call of a neutral operator; inputs, results and static arguments by the names of its declaration."""

    operator: str
    inputs: Mapping[str, Value | None]
    results: Mapping[str, Value]
    static: Mapping[str, Scalar]

    def input(self, name: str) -> Value:
        """A tensor that is not left out."""
        found = self.inputs[name]
        assert found is not None, f"{self.operator} without {name}"
        return found

    def has(self, name: str) -> bool:
        """Returns whether an optional tensor is given."""
        return self.inputs[name] is not None

    def width(self, name: str) -> int:
        """The last size of a tensor, which is static."""
        size = self.input(name).shape[-1]
        assert size is not None, f"{self.operator}: the width of {name} is known at run time only"
        return size

    def integer(self, name: str) -> int:
        found = self.static[name]
        assert isinstance(found, int)
        return found

    def number(self, name: str) -> float:
        found = self.static[name]
        assert isinstance(found, float)
        return found

    def flag(self, name: str) -> bool:
        found = self.static[name]
        assert isinstance(found, bool)
        return found

    def word(self, name: str) -> str:
        found = self.static[name]
        assert isinstance(found, str)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """One function of a program.

    header: its line of text, up to the opening brace. body: its lines, in order; text, or a call.
    torch_uses: those results of calls that text takes, the function's return among it.
    loads: a weight's value -> the lines that load it, which stand in no body: they are written where the weight is
        first used, since parameters are declared in that order.
    """

    name: str
    header: str
    body: tuple[str | OperatorCall, ...]
    torch_uses: frozenset[str]
    loads: Mapping[str, tuple[str, ...]]

    @property
    def calls(self) -> tuple[OperatorCall, ...]:
        return tuple(line for line in self.body if isinstance(line, OperatorCall))


@dataclass(frozen=True, slots=True, eq=False)
class NeutralProgram:
    """A traced program, which knows no target.

    opening, closing: its text around the functions: the module's line and its parameters; the module's end.
    """

    opening: str
    functions: tuple[Function, ...]
    closing: str
