"""Values that a source gives for people and callers, who can do without: what has another type counts as absent."""

from math import isfinite
from typing import Any

import numpy as np

from sharkpack.formats.io.json_values import has_lone_surrogate

MOST_CHARACTERS = 4096
MOST_ITEMS = 256


def text(value: Any, *, strip: bool = True) -> str | None:
    """A string that says something, in its first 4096 characters, without spaces around it if `strip`; else None."""
    if not isinstance(value, str) or has_lone_surrogate(value):
        return None
    return (value.strip() if strip else value)[:MOST_CHARACTERS] or None


def texts(value: Any, *, strip: bool = True) -> tuple[str, ...]:
    """The strings of a list, at most 256, each as `text` gives it; a single one counts as a list of it."""
    items = value if isinstance(value, list | tuple) else [value]
    found = (text(item, strip=strip) for item in items[:MOST_ITEMS])
    return tuple(each for each in found if each is not None)


def number(value: Any, *, least: float | None = None) -> float | None:
    """A finite number that is not below `least`; else None. A float32 becomes its shortest decimal: 0.7, not 0.6999."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 2**53 or not isfinite(value):
        return None
    if least is not None and value < least:
        return None
    if isinstance(value, int):
        return value
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def whole(value: Any, *, negative: int | None = None) -> int | None:
    """An integer from 0; else None, or `negative` for one below."""
    if not isinstance(value, int) or isinstance(value, bool) or value >= 2**53:
        return None
    return value if value >= 0 else negative
