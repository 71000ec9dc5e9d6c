"""The precision that a CPU's kernels take and make, decided for each value backward over a function."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.lowering.lowering import Activations
from sharkpack.templates.lowering.program import Function, OperatorCall, Value

Form = Literal["float32", "int8", "int8_remainder"]
"""Of activations between two kernels: as they are; codes of 8 bits and scales; those and residual bytes.

The residual byte costs a second pass over codes that are in registers already. It goes where the error shows most for
the least work: the values of attention and the output head.
"""

MATMULS = ("matmul", "expert_matmul")


def form_of(call: OperatorCall, activations: Activations) -> Form:
    """The form that a matmul takes its activations in: the whole of the precision policy."""
    rounding = call.word("rounding") if call.operator == "matmul" else "plain"
    if activations == "float32" or rounding == "exact" or LAYOUTS[call.word("layout")].kind == "float":
        return "float32"
    return "int8_remainder" if rounding == "fine" else "int8"


@dataclass(slots=True)
class Uses:
    """The uses of each value of a function. Filled from its last call to its first."""

    activations: Activations
    makers: Mapping[str, OperatorCall]
    """Value -> the call that makes it."""
    counts: Mapping[str, int]
    """Value -> how often it is used; text counts as several uses."""
    texts: frozenset[str]
    """Values that text takes."""
    wants: dict[str, set[Form]] = field(default_factory=dict)

    @classmethod
    def of(cls, function: Function, activations: Activations) -> "Uses":
        makers = {value.name: call for call in function.calls for value in call.results.values()}
        counts = dict.fromkeys(function.torch_uses, 2)
        for call in function.calls:
            for value in _given(call):
                counts[value.name] = counts.get(value.name, 0) + 1
        wants: dict[str, set[Form]] = {name: {"float32"} for name in function.torch_uses}
        return cls(activations, makers, counts, function.torch_uses, wants)

    def add(self, call: OperatorCall) -> None:
        """Note what `call` wants of its inputs."""
        for name, form in self._asks(call):
            self.wants.setdefault(name, set()).add(form)

    def _asks(self, call: OperatorCall) -> Iterator[tuple[str, Form]]:
        for name, value in call.inputs.items():
            if value is not None:
                is_activation = call.operator in MATMULS and name == "x"
                yield value.name, form_of(call, self.activations) if is_activation else "float32"

    def form(self, call: OperatorCall) -> Form:
        return form_of(call, self.activations)

    def wanted(self, value: Value) -> Sequence[Form]:
        """The forms to make of a value, at least one: float32; the finest quantised one, which serves all others."""
        wants = self.wants.get(value.name, set())
        exact: list[Form] = ["float32"] if "float32" in wants or not wants else []
        return [*exact, self.finest(value)] if wants - {"float32"} else exact

    def finest(self, value: Value) -> Form:
        return "int8_remainder" if "int8_remainder" in self.wants.get(value.name, set()) else "int8"

    def in_text(self, value: Value) -> bool:
        """Returns whether lines that are no calls take it."""
        return value.name in self.texts

    def only_int8(self, value: Value) -> bool:
        return self.wants.get(value.name) == {"int8"}

    def sole_matmul(self, value: Value) -> OperatorCall | None:
        """Returns the matmul that makes a value which is used once, if it adds nothing but a bias."""
        maker = self.makers.get(value.name)
        if maker is None or maker.operator != "matmul" or self.counts[value.name] != 1 or maker.has("residual"):
            return None
        return maker


def _given(call: OperatorCall) -> Iterator[Value]:
    return (value for value in call.inputs.values() if value is not None)
