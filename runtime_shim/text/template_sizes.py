"""Bounds on the size of a result, for those operations of a template whose parts do not bound it; rather too large.

Each takes the value, what else it is given, and a function that is called for each item that is looked at: lists may
hold each other, and what looks at all of them has to end too.
"""

import re
from collections.abc import Callable, Iterable, MappingView, Sized
from typing import Any

from jinja2.utils import Namespace

Step = Callable[[], None]
Size = Callable[[Any, list[Any], Step], int]

_NUMBER = re.compile(r"\d+")
_OTHER = 32  # characters of what is neither a text nor a collection


def text_size(value: Any, step: Step) -> int:
    """Returns the size of the value written out."""
    if isinstance(value, str | bytes):
        return len(value)
    step()
    if isinstance(value, Namespace):
        value = value._Namespace__attrs  # which it writes out
    if isinstance(value, dict):
        return sum(text_size(key, step) + text_size(each, step) + 8 for key, each in value.items())
    if isinstance(value, MappingView):
        value = list(value)  # type: ignore[call-overload]
    if isinstance(value, list | tuple):
        return sum(text_size(each, step) + 4 for each in value)
    return value.bit_length() // 3 + 2 if isinstance(value, int) else _OTHER


def written_size(value: Any, given: list[Any], step: Step) -> int:
    """Returns the bound of most filters and methods, which make a text of what they are given."""
    return text_size(value, step) + text_size(given, step)


def _repeated(value: Any, given: list[Any], step: Step) -> int:
    count, items = (value, given[0]) if isinstance(value, int) else (given[0], value)
    return max(0, count) * len(items) if isinstance(count, int) and isinstance(items, Sized) else 0


def _added(value: Any, given: list[Any], step: Step) -> int:
    return sum(len(each) for each in (value, *given) if isinstance(each, Sized))


def _replaced(value: Any, given: list[Any], step: Step) -> int:
    """Returns the bound of `replace`; of `translate` and `wordwrap`, which may put what they are given behind every
    character."""
    if not isinstance(value, str | bytes):
        return text_size(value, step) * (1 + text_size(given, step))
    if len(given) > 1 and isinstance(given[0], type(value)) and given[0]:
        return len(value) + value.count(given[0]) * text_size(given[1], step)  # type: ignore[arg-type]
    return (len(value) + 1) * (1 + text_size(given, step))


def _widened(value: Any, given: list[Any], step: Step) -> int:
    """Returns the bound of `indent`, `expandtabs` and `tojson`: each line, tab or item may be moved as far as a number
    or a text says."""
    far = sum(each if isinstance(each, int) else text_size(each, step) for each in given) + 8
    if isinstance(value, str):
        return len(value) + (value.count("\n") + value.count("\t") + 1) * far
    return text_size(value, step) * (6 + far)


def _joined(value: Any, given: list[Any], step: Step) -> int:
    """Returns the bound of the filter, which takes the items first, and of the method, which is that of what stands
    between them."""
    if isinstance(value, str | bytes):
        value, given = given[0] if given else "", [value]
    if not isinstance(value, Sized) or not isinstance(value, Iterable):
        return 0
    return sum(text_size(each, step) for each in value) + len(value) * text_size(given, step)


def _formatted(value: Any, given: list[Any], step: Step) -> int:
    """Each place of a pattern may take all that is given, as wide as a number in it, or one that is given, says."""
    if not isinstance(value, str | bytes):
        return 0
    text = value if isinstance(value, str) else value.decode("latin-1")
    flat = [part for each in given for part in (each if isinstance(each, tuple) else [each])]
    widths = [int(f"{number:.12}") for number in _NUMBER.findall(text)]
    widths += [abs(each) for each in flat if isinstance(each, int)]
    return len(text) + sum(widths) + (text.count("%") + text.count("{")) * text_size(given, step)


def _summed(value: Any, given: list[Any], step: Step) -> int:
    """Returns the bound of sums of lists: each sum is a new one."""
    sizes = [len(each) for each in value if isinstance(each, Sized)] if isinstance(value, Iterable) else []
    return sum(sizes) * len(sizes)


SIZES: dict[str, Size] = {
    "%": _formatted,
    "*": _repeated,
    "+": _added,
    "expandtabs": _widened,
    "format": _formatted,
    "format_map": _formatted,
    "indent": _widened,
    "join": _joined,
    "pprint": lambda value, given, step: 8 * text_size(value, step),
    "replace": _replaced,
    "sum": _summed,
    "tojson": _widened,
    "translate": _replaced,
    "wordwrap": _replaced,
}
"""By the name of an operator, a method or a filter."""

OF_ITEMS = frozenset(
    {
        "abs",
        "attr",
        "batch",
        "count",
        "d",
        "default",
        "dictsort",
        "first",
        "float",
        "groupby",
        "int",
        "items",
        "last",
        "length",
        "list",
        "map",
        "max",
        "min",
        "random",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "select",
        "selectattr",
        "slice",
        "sort",
        "unique",
    }
)
"""Filters that make no text of what they are given, but pass its items on."""
