"""Reads a traced program's text, in MLIR's torch dialect, as data. Needs neither torch nor MLIR's bindings.

The text is that of the importer of one release: one operation a line, functions indented by two spaces, their lines by
four. Whatever is no call of ours is kept as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.lowering.operators import OPERATORS, Operator, Scalar
from sharkpack.templates.lowering.program import Function, NeutralProgram, OperatorCall, Value

NAMESPACE = "sharkpack"
"""Under which torch knows the operators."""

VALUE = re.compile(r"%[\w.$-]+(?:#\d+)?")

_CALLS = f'torch.operator "torch.{NAMESPACE}.'
_CALL = re.compile(
    rf'^    (?:(%[\w.$-]+)(?::(\d+))? = )?torch\.operator "torch\.{NAMESPACE}\.(\w+)"\((.*)\) : \((.*)\) -> (.*?) *$'
)
_OPERATOR = re.compile(rf'torch\.operator "torch\.{NAMESPACE}\.(\w+)"')
_CONSTANT = re.compile(r"^    (%[\w.$-]+) = torch\.constant\.(int|float|bool|str|none)(?: (.*))?$")
_RESULT = re.compile(r"(%[\w.$-]+)#(\d+)")
_LOAD = re.compile(r"^    (%[\w.$-]+) = util\.global\.load ")
_FROM_BUILTIN = re.compile(r"^    (%[\w.$-]+) = torch_c\.from_builtin_tensor (%[\w.$-]+) :")
_FUNCTION = re.compile(r"^  func\.func @([\w.$-]+)\(")
_TENSOR = re.compile(r"^!torch\.vtensor<\[([\d?,]*)\],(\w+)>$")


def has_calls(text: str) -> bool:
    """Returns whether the program calls operators of ours: other programs need no lowering."""
    return _CALLS in text


def operators_of(text: str) -> tuple[Operator, ...]:
    """The operators that a program of this version's own trace calls, by name."""
    return tuple(OPERATORS[name] for name in sorted(set(_OPERATOR.findall(text))))


def parse(text: str) -> NeutralProgram:
    """Read a traced program. Raises SharkpackError for a call that no declared operator allows."""
    opening: list[str] = []
    closing: list[str] = []
    functions: list[Function] = []
    lines = iter(text.splitlines())
    for line in lines:
        if found := _FUNCTION.match(line):
            functions.append(_Reader(found[1], line).read(lines))
        else:
            (closing if functions else opening).append(line)
    return NeutralProgram("\n".join(opening), tuple(functions), "\n".join(closing))


@dataclass(slots=True)
class _Reader:
    """Reads one function."""

    name: str
    header: str
    body: list[str | OperatorCall] = field(default_factory=list)
    constants: dict[str, Scalar] = field(default_factory=dict)
    loads: dict[str, tuple[str, ...]] = field(default_factory=dict)
    several: set[str] = field(default_factory=set)
    """Names of the results of calls that have more than one, each of which gets a name of its own."""

    def read(self, lines: Iterator[str]) -> Function:
        for line in lines:
            if line == "  }":
                break
            self._read_line(_RESULT.sub(self._renamed, line) if self.several else line)
        made = {value.name for line in self.body if isinstance(line, OperatorCall) for value in line.results.values()}
        used = {name for line in self.body if isinstance(line, str) for name in VALUE.findall(line)}
        return Function(self.name, self.header, tuple(self.body), frozenset(made & used), self.loads)

    def _read_line(self, line: str) -> None:
        if call := _CALL.match(line):
            self.body.append(self._call(call))
        elif load := _LOAD.match(line):
            self.loads[load[1]] = (line,)
        elif (taken := _FROM_BUILTIN.match(line)) and taken[2] in self.loads:
            self.loads[taken[1]] = (*self.loads.pop(taken[2]), line)
        else:
            if constant := _CONSTANT.match(line):
                self._constant(*constant.groups())
            self.body.append(line)

    def _renamed(self, found: re.Match[str]) -> str:
        return _one_of(found[1], int(found[2])) if found[1] in self.several else found[0]

    def _constant(self, name: str, kind: str, text: str | None) -> None:
        if kind == "int":
            self.constants[name] = int(text or "")
        elif kind == "float":
            self.constants[name] = float(text or "")
        elif kind == "bool":
            self.constants[name] = text == "true"
        elif kind == "str":
            self.constants[name] = (text or "")[1:-1]

    def _call(self, found: re.Match[str]) -> OperatorCall:
        made, count, name, operands, types, result_types = found.groups()
        operator = OPERATORS.get(name)
        if operator is None:
            raise SharkpackError(f"the program calls operator '{name}'; known: {', '.join(OPERATORS)}")
        given, kinds = operands.split(", "), types.split(", ")
        results = result_types.removeprefix("(").removesuffix(")").split(", ")
        if not (len(given) == len(kinds) == len(operator.arguments) and len(results) == len(operator.results)):
            raise SharkpackError(
                f"a call of operator '{name}' has {len(given)} arguments and {len(results)} results; version "
                f"{operator.version} of it has {len(operator.arguments)} and {len(operator.results)}"
            )
        if count is not None:
            self.several.add(made)
        names = [made] if count is None else [_one_of(made, i) for i in range(int(count))]
        tensors = zip(operator.tensors, given, kinds, strict=False)
        static = zip(operator.static.items(), given[len(operator.tensors) :], strict=True)
        return OperatorCall(
            name,
            {argument: _tensor(value, kind) for argument, value, kind in tensors},
            {out: _result(*each) for out, *each in zip(operator.results, names, results, strict=True)},
            {argument: self._static(name, argument, kind, value) for (argument, kind), value in static},
        )

    def _static(self, operator: str, argument: str, kind: type[Scalar], value: str) -> Scalar:
        found = self.constants.get(value)
        if type(found) is not kind:
            raise SharkpackError(f"argument '{argument}' of operator '{operator}' is not a constant {kind.__name__}")
        return found


def _one_of(name: str, number: int) -> str:
    """The name of one of several results: "%58#0" becomes "%m58_0", as a name that begins with a digit has no others
    than digits."""
    return f"%m{name[1:]}_{number}"


def _tensor(name: str, kind: str) -> Value | None:
    return None if kind == "!torch.none" else _result(name, kind)


def _result(name: str, kind: str) -> Value:
    found = _TENSOR.match(kind)
    if found is None:
        raise SharkpackError(f"the program gives an operator {name} of type {kind}; it takes tensors of known rank")
    sizes = found[1].split(",") if found[1] else []
    return Value(name, tuple(None if size == "?" else int(size) for size in sizes), found[2])
