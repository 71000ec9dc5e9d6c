"""Digests of values: equal for equal values, different for different ones, the same in every process."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


class UnkeyableError(Exception):
    """A value that no digest can stand for."""


def digest(*parts: Any) -> str:
    """The SHA-256 of the parts, in hexadecimal. Raises UnkeyableError."""
    return hashlib.sha256(json.dumps(_plain(parts), ensure_ascii=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it, different for different values; UnkeyableError for what has no such form."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return ["mapping", *([_plain(key), _plain(item)] for key, item in value.items())]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_plain, value)]
    if isinstance(value, frozenset | set):
        return ["set", *sorted(map(json.dumps, map(_plain, value)))]
    if is_dataclass(value) and type(value).__module__.startswith("sharkpack."):
        return ["data", type(value).__qualname__, *_fields(value)]
    raise UnkeyableError(f"a {type(value).__name__}")


def _fields(value: Any) -> Iterator[list[Any]]:
    for field in fields(value):
        yield [field.name, _plain(getattr(value, field.name))]
