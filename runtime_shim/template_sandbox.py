"""Jinja's sandbox, with an end to what a template may compute: templates come with models, from anyone.

Turns of loops, calls, and what is multiplied are counted; how long a text other operators make is not.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from jinja2 import TemplateRuntimeError, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_STEPS = 200_000
"""Turns and calls of one rendering: a second or two. A chat's template takes some tens a message."""
MAX_SIZE = 1 << 20
"""Of what a multiplication makes: items of a sequence, bits of a number."""
STEPS = "_sharkpack_steps"
"""The variable that holds how many steps are left, in a list."""


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """An environment whose templates are rendered with `STEPS` set; TemplateRuntimeError where it is spent."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters["_counted"] = _counted
        del self.globals["lipsum"]  # which takes as long as it is told to

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        template = super()._parse(source, name, filename)
        for loop in list(template.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "_counted", [], [], None, None, lineno=loop.lineno)
        return template

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 (as jinja2 has it)
        _spend(__context)
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        size = _power_size(left, right) if operator == "**" else _product_size(left, right)
        if size > MAX_SIZE:
            raise TemplateRuntimeError(f"what it multiplies (by {operator}) becomes too large")
        return self.binop_table[operator](left, right)


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        _spend(context)
        yield item


def _spend(context: Context) -> None:
    steps: list[int] = context.parent[STEPS]
    steps[0] -= 1
    if steps[0] < 0:
        raise TemplateRuntimeError(f"it takes more than {MAX_STEPS} steps")


def _product_size(left: Any, right: Any) -> int:
    """Bits of two numbers' product, or items of a sequence's."""
    if isinstance(left, int) and isinstance(right, int):
        return left.bit_length() + right.bit_length()
    count, repeated = (left, right) if isinstance(left, int) else (right, left)
    return count * len(repeated) if isinstance(count, int) and isinstance(repeated, Sized) else 0


def _power_size(left: Any, right: Any) -> int:
    return left.bit_length() * abs(right) if isinstance(left, int) and isinstance(right, int) else 0
