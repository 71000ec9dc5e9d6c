"""Writes a function as linalg on tensors: each tensor is made by an expression of one element. Knows no operator."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sharkpack.templates.lowering.generic.scalars import Operand, Scalar

Size = int | Scalar
"""Size of a dimension: a number, or an index that is known at run time only."""

Expression = Callable[..., Scalar]
"""Computes an element from its indices, one for each loop."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An SSA value of a tensor type. Indexing it gives an element, within the expression of another tensor's."""

    writer: "Writer"
    name: str
    sizes: tuple[Size, ...]
    element: str

    @property
    def type(self) -> str:
        return tensor_type(self.sizes, self.element)

    @property
    def width(self) -> int:
        """The last size, which is a number."""
        size = self.sizes[-1]
        assert isinstance(size, int)
        return size

    def __getitem__(self, at: "Operand | tuple[Operand, ...]") -> Scalar:
        return self.writer.element(self, at if isinstance(at, tuple) else (at,))


def tensor_type(sizes: Sequence[Size], element: str) -> str:
    return f"tensor<{''.join(f'{size}x' if isinstance(size, int) else '?x' for size in sizes)}{element}>"


Operands = list[tuple[Tensor, tuple[int, ...]]]
"""The tensors that a linalg.generic walks along, and the loops that index each."""


@dataclass(slots=True)
class _Body:
    """Lines of a region, or of the function. loops, operands: those of an expression, by name and as they come up."""

    depth: int
    lines: list[str] = field(default_factory=list)
    loops: tuple[str, ...] = ()
    operands: Operands = field(default_factory=list)

    def argument(self, place: int) -> str:
        """The name of a block's argument."""
        return f"%a{self.depth}_{place}"

    @property
    def result(self) -> str:
        """The name of a reduction's accumulator."""
        return f"%a{self.depth}_out"


class Writer:
    """The lines of one function. Names are fresh; operations go into the innermost expression."""

    def __init__(self) -> None:
        self._count = 0
        self._bodies = [_Body(0)]

    @property
    def lines(self) -> list[str]:
        return self._bodies[0].lines

    def fresh(self) -> str:
        self._count += 1
        return f"%v{self._count}"

    def add(self, text: str) -> None:
        """Append an operation, its results named already."""
        self._bodies[-1].lines.append(text)

    def scalar(self, text: str, type: str) -> Scalar:
        name = self.fresh()
        self.add(f"{name} = {text}")
        return Scalar(self.scalar, name, type)

    def tensor(self, text: str, sizes: Sequence[Size], element: str) -> Tensor:
        name = self.fresh()
        self.add(f"{name} = {text}")
        return Tensor(self, name, tuple(sizes), element)

    def constant(self, value: float, type: str) -> Scalar:
        return Scalar(self.scalar, "", type).like(value)

    def parameter(self, name: str, shape: Sequence[int | None], element: str) -> Tensor:
        """Declares a tensor that the function is given; sizes that are open (None) are read off it."""
        kind = "".join("?x" if size is None else f"{size}x" for size in shape)
        sizes: list[Size] = []
        for axis, size in enumerate(shape):
            if size is None:
                at = self.constant(axis, "index")
                sizes.append(self.scalar(f"tensor.dim %{name}, {at.name} : tensor<{kind}{element}>", "index"))
            else:
                sizes.append(size)
        return Tensor(self, f"%{name}", tuple(sizes), element)

    def element(self, tensor: Tensor, at: tuple[Operand, ...]) -> Scalar:
        """Takes an element: as an operand, where loops walk along the tensor; else by a load."""
        body = self._bodies[-1]
        names = [index.name if isinstance(index, Scalar) else "" for index in at]
        if len(set(names)) == len(names) and set(names) <= set(body.loops):
            operand = (tensor, tuple(body.loops.index(name) for name in names))
            if operand not in body.operands:
                body.operands.append(operand)
            return Scalar(self.scalar, body.argument(body.operands.index(operand)), tensor.element)
        indices = [index if isinstance(index, Scalar) else self.constant(index, "index") for index in at]
        listed = ", ".join(index.name for index in indices)
        return self.scalar(f"tensor.extract {tensor.name}[{listed}] : {tensor.type}", tensor.element)

    def map(self, sizes: Sequence[Size], expression: Expression, element: str = "f32") -> Tensor:
        """Makes the tensor whose element at some indices is the expression of them."""
        return self._generic(sizes, (), self._empty(sizes, element), lambda _, *at: expression(*at))

    def sum(self, sizes: Sequence[Size], over: Size, expression: Expression, element: str = "f32") -> Tensor:
        """Sums the expression over its last index."""
        start = self._filled(sizes, 0, element)
        return self._generic(sizes, (over,), start, lambda found, *at: found + expression(*at))

    def largest(self, sizes: Sequence[Size], over: Size, expression: Expression) -> Tensor:
        """Takes the maximum of the expression over its last index; -1e38 at least."""
        start = self._filled(sizes, -1e38, "f32")
        return self._generic(sizes, (over,), start, lambda found, *at: found.maximum(expression(*at)))

    @contextmanager
    def region(self) -> Iterator[list[str]]:
        """Keeps apart the lines that are written while it lasts, and gives them."""
        with self._nested() as body:
            yield body.lines

    def _empty(self, sizes: Sequence[Size], element: str) -> Tensor:
        dynamic = ", ".join(size.name for size in sizes if isinstance(size, Scalar))
        return self.tensor(f"tensor.empty({dynamic}) : {tensor_type(sizes, element)}", sizes, element)

    def _filled(self, sizes: Sequence[Size], value: float, element: str) -> Tensor:
        empty, constant = self._empty(sizes, element), self.constant(value, element)
        text = f"linalg.fill ins({constant.name} : {element}) outs({empty.name} : {empty.type}) -> {empty.type}"
        return self.tensor(text, sizes, element)

    def _generic(self, sizes: Sequence[Size], over: Sequence[Size], into: Tensor, expression: Expression) -> Tensor:
        """Writes a linalg.generic whose loops are over `sizes`, then, as a reduction, over `over`."""
        outer, count = tuple(range(len(sizes))), len(sizes) + len(over)
        # A loop that no operand walks along has no length: this one, whose elements nobody reads, gives it.
        bounds: Operands = [(self._empty(over, "f32"), tuple(range(len(sizes), count)))] if over else []
        with self._nested() as body:
            at = [self.scalar(f"linalg.index {loop} : index", "index") for loop in range(count)]
            body.loops = tuple(index.name for index in at)
            result = expression(Scalar(self.scalar, body.result, into.element), *at)
        operands = body.operands + bounds
        kinds = ['"parallel"'] * len(sizes) + ['"reduction"'] * len(over)
        maps = [_map(count, loops) for loops in [*(loops for _, loops in operands), outer]]
        given = [f"{body.argument(place)}: {tensor.element}" for place, (tensor, _) in enumerate(operands)]
        text = [
            f"linalg.generic {{indexing_maps = [{', '.join(maps)}], iterator_types = [{', '.join(kinds)}]}}",
            f"{_operands('ins', [tensor for tensor, _ in operands])} {_operands('outs', [into])} {{",
            f"^bb0({', '.join([*given, f'{body.result}: {into.element}'])}):",
            *body.lines,
            f"linalg.yield {result.name} : {into.element}",
            f"}} -> {into.type}",
        ]
        return self.tensor("\n".join(text), sizes, into.element)

    @contextmanager
    def _nested(self) -> Iterator[_Body]:
        self._bodies.append(_Body(len(self._bodies)))
        yield self._bodies[-1]
        self._bodies.pop()


def _map(loops: int, along: Sequence[int]) -> str:
    names = ", ".join(f"d{loop}" for loop in range(loops))
    return f"affine_map<({names}) -> ({', '.join(f'd{loop}' for loop in along)})>"


def _operands(kind: str, tensors: Sequence[Tensor]) -> str:
    names, types = ", ".join(tensor.name for tensor in tensors), ", ".join(tensor.type for tensor in tensors)
    return f"{kind}({names} : {types})" if tensors else ""
