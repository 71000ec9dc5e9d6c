"""Jinja's sandbox, with an end to what a template may compute: templates come with models, from anyone.

Turns of loops and calls are counted, and so is all that is written, concatenated or made by operators, filters and
methods of texts: before it is made, where a little can make much. Long comparisons are not.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2 import TemplateRuntimeError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from sharkpack.runtime_shim.text.template_sizes import OF_ITEMS, SIZES, Size, text_size, written_size

MAX_STEPS = 200_000
"""Turns, calls and items looked at, of one rendering: a second or two. A chat's template takes some tens a message."""
MAX_SIZE = 1 << 20
"""Of a number that is given to a function, and of the bits of one that is computed."""
MAX_MADE = 1 << 28
"""Characters and items that one rendering makes, all in all. A chat's template copies its messages a few times."""


class _Budget:
    """The remaining budget of a rendering."""

    def __init__(self) -> None:
        self._steps, self._made = MAX_STEPS, MAX_MADE

    def step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise TemplateRuntimeError(f"it takes more than {MAX_STEPS} steps")

    def make(self, size: int) -> None:
        """Count a result before it is made, or right after."""
        self._made -= size
        if self._made < 0:
            raise TemplateRuntimeError("what it makes becomes too large")


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def new_budget() -> Iterator[None]:
    """Within it a template can be rendered; TemplateRuntimeError where the budget is spent."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates are rendered within `new_budget`. filters: those that it has besides Jinja's."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, filters: dict[str, Callable[..., Any]], **options: Any) -> None:
        super().__init__(**options)
        del self.globals["lipsum"]  # which takes as long as it is told to
        self.filters = {name: _limited(name, function) for name, function in (self.filters | filters).items()}
        self.filters |= {"_counted": _counted, "_joined": _joined, "_written": _written, "_made": _made}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template: nodes.Template = _Counting().visit(super()._parse(source, name, filename))
        return template

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as jinja2 has it)
        _budget.get().step()
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, str | bytes):
            args = tuple(list(arg) if isinstance(arg, Iterator) else arg for arg in args)
            _expect(__obj.__name__, owner, [*args, *kwargs.values()], SIZES.get(__obj.__name__))
        return _made(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if isinstance(left, int) and isinstance(right, int):
            power = operator == "**"
            if (left.bit_length() * abs(right) if power else left.bit_length() + right.bit_length()) > MAX_SIZE:
                raise TemplateRuntimeError(f"what it computes (by {operator}) becomes too large")
        else:
            _budget.get().make(SIZES[operator](left, [right], _budget.get().step) if operator in SIZES else 0)
        return _made(self.binop_table[operator](left, right))


class _Counting(NodeTransformer):
    """Has filters count what templates do without a call: turn, concatenate, write and copy a part."""

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802 (as jinja2 has it)
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "_joined")

    def visit_Output(self, node: nodes.Output) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_filtered(each, "_written") for each in node.nodes]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _filtered(node, "_made") if isinstance(node.arg, nodes.Slice) else node


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _budget.get().step()
        yield item


def _written(value: Any) -> Any:
    _budget.get().make(text_size(value, _budget.get().step))
    return value


def _joined(parts: list[Any]) -> str:
    return "".join(str(_written(part)) for part in parts)


def _limited(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, with a look at what it is given before and at what it makes after."""
    size = None if name in OF_ITEMS else SIZES.get(name, written_size)

    @functools.wraps(function)  # with its mark of wanting a context as its first argument
    def limited(*args: Any, **kwargs: Any) -> Any:
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        before, (value, *given) = args[:first], args[first:]
        if name in SIZES and isinstance(value, Iterator):
            value = list(value)
        _expect(name, value, [*given, *kwargs.values()], size)
        return _made(function(*before, value, *given, **kwargs))

    return limited


def _expect(name: str, value: Any, given: list[Any], size: Size | None) -> None:
    """Refuse numbers that make a large result of a small value, and count what the operation may make of it."""
    for number in given:
        if isinstance(number, int) and abs(number) > MAX_SIZE:
            raise TemplateRuntimeError(f"{name} is given a number that is too large")
    if size is not None:
        _budget.get().make(size(value, given, _budget.get().step))


def _made(made: Any) -> Any:
    if isinstance(made, str | bytes | list | tuple | dict):
        _budget.get().make(len(made))
    return made
