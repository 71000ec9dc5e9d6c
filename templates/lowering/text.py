"""The lines of a lowered function: operations, weights where they are first used, tensors from and to torch's types."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sharkpack.templates.lowering.parse import VALUE
from sharkpack.templates.lowering.program import Function, Value


@dataclass(frozen=True, slots=True)
class Buffer:
    """A builtin tensor of a lowered function, as calls of kernels take and return it."""

    name: str
    shape: tuple[int | None, ...]
    tensor_type: str


Tensor = Value | Buffer


@dataclass(slots=True)
class Lines:
    """Collects the lines of one function. loads: weights that are not loaded yet, by value."""

    loads: dict[str, tuple[str, ...]]
    lines: list[str] = field(default_factory=list)
    _count: int = 0

    @classmethod
    def of(cls, function: Function) -> "Lines":
        return cls(dict(function.loads))

    def keep(self, line: str) -> None:
        """A line of the program's own."""
        if self.loads:
            for name in VALUE.findall(line):
                self.load(name)
        self.lines.append(line)

    def load(self, name: str) -> None:
        """Have the value `name` loaded, if it is a weight that is not yet."""
        self.lines += self.loads.pop(name, ())

    def fresh(self) -> str:
        """A name that no other value has."""
        self._count += 1
        return f"%l{self._count}"

    def op(self, text: str) -> str:
        """The value that the operation makes."""
        name = self.fresh()
        self.lines.append(f"    {name} = {text}")
        return name

    def cast(self, tensor: Tensor, wanted: str) -> str:
        """The tensor as a builtin one of the type `wanted`, which may leave sizes open."""
        name = tensor.name
        if isinstance(tensor, Value):
            self.load(name)
            name = self.op(f"torch_c.to_builtin_tensor {name} : {tensor.torch_type} -> {tensor.tensor_type}")
        if tensor.tensor_type == wanted:
            return name
        return self.op(f"tensor.cast {name} : {tensor.tensor_type} to {wanted}")

    def call(self, name: str, arguments: Sequence[str], types: Sequence[str], results: Sequence[str]) -> list[str]:
        """Call a function; the names of its results."""
        made, count = self.fresh(), len(results)
        returned = results[0] if count == 1 else f"({', '.join(results)})"
        several = "" if count == 1 else f":{count}"
        call = f"util.call @{name}({', '.join(arguments)}) : ({', '.join(types)}) -> {returned}"
        self.lines.append(f"    {made}{several} = {call}")
        return [made] if count == 1 else [f"{made}#{i}" for i in range(count)]

    def as_torch(self, made: Buffer, wanted: Value) -> None:
        """Give a result the name and the type that the program has for it."""
        types = f"{made.tensor_type} -> {wanted.torch_type}"
        self.lines.append(f"    {wanted.name} = torch_c.from_builtin_tensor {made.name} : {types}")
