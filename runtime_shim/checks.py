"""Arguments that callers get wrong: each is a SharkpackError that names it, whatever its type."""

import operator
from collections.abc import Sequence
from typing import Any

from sharkpack.runtime_shim.errors import RequestError


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """`value` as an int, of at least `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise RequestError(f"{name} is {value!r}: expected a whole number") from None
    if least is not None and number < least:
        raise RequestError(f"{name} is {number}: expected {least} or more")
    return number


def texts(name: str, value: Any) -> tuple[str, ...]:
    """`value`, a string or several, as several."""
    found = (value,) if isinstance(value, str) or not isinstance(value, Sequence) else tuple(value)
    if not all(isinstance(each, str) for each in found):
        raise RequestError(f"{name} is {value!r}: expected a string, or a list of strings")
    return found
