"""Typed reading of JSON that someone else wrote: size and depth caps, and errors that carry the path of the value."""

import json
import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from math import isfinite
from types import MappingProxyType
from typing import Any, NoReturn, TypeVar

from sharkpack.formats.errors import SharkpackError

MAX_JSON_DEPTH = 16

# Possessive, and content with a string that never ends: no input makes it look at a byte twice.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # 1 and, as signed bytes, -1
_SURROGATE = re.compile("[\ud800-\udfff]")
_T = TypeVar("_T")


def parse_json(data: bytes, *, name: str, max_bytes: int) -> "JsonObject":
    """Parse the JSON object in `data`; raise SharkpackError, naming `name`, for anything that is not one."""
    return JsonObject(parse_json_value(data, name=name, max_bytes=max_bytes), "")


def parse_json_value(data: bytes, *, name: str, max_bytes: int) -> object:
    """Parse `data`; raise SharkpackError, naming `name`, for what is not JSON, too large, too deep or ambiguous."""
    if len(data) > max_bytes:
        raise SharkpackError(f"{name} has {len(data)} bytes; at most {max_bytes} are allowed")
    outside = _STRING.sub(b"", data) if b"\\" in data else b"".join(data.split(b'"')[::2])
    if max(accumulate(array("b", outside.translate(_STEPS, _NO_BRACKETS))), default=0) > MAX_JSON_DEPTH:
        raise SharkpackError(f"{name} nests deeper than {MAX_JSON_DEPTH} levels")
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SharkpackError(f"{name} is not valid JSON: {error}") from error


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return result


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"{text} is more than a number can be")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct_keys, parse_constant=_no_constant, parse_float=_finite)


class JsonObject:
    """One JSON object and where it stands. Every getter raises SharkpackError naming the path of a bad value.

    The `optional_` getters take null and absence alike for None.
    """

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise SharkpackError(f"Expected an object in '{path or '.'}', found {kind_of(value)}")
        self._values: dict[str, object] = value
        self._path = path

    def path(self, key: str) -> str:
        """The path of `key` from the root: 'targets[0].path'."""
        return f"{self._path}.{key}" if self._path else key

    def fail(self, key: str, problem: str) -> NoReturn:
        raise SharkpackError(f"Bad value in '{self.path(key)}': {problem}")

    def values(self) -> Mapping[str, Any]:
        """Everything in it as it was parsed, for a reader that checks each value itself."""
        return MappingProxyType(self._values)

    def texts_by_key(self) -> dict[str, str]:
        """The object itself as a table of strings."""
        return {key: _text(value, self.path(key)) for key, value in self._values.items()}

    def optional_texts_by_key(self, key: str) -> dict[str, str]:
        """A table of strings; null and absence alike are one of none."""
        value = self._values.get(key)
        return {} if value is None else JsonObject(value, self.path(key)).texts_by_key()

    def child(self, key: str) -> "JsonObject":
        return JsonObject(self._required(key), self.path(key))

    def children(self, key: str, *, minimum: int = 1) -> "Iterator[JsonObject]":
        for index, value in enumerate(self._list(key, minimum)):
            yield JsonObject(value, f"{self.path(key)}[{index}]")

    def text(self, key: str, *, choices: tuple[str, ...] = (), pattern: str = "") -> str:
        value = _text(self._required(key), self.path(key))
        if not value:
            self.fail(key, "empty")
        if choices and value not in choices:
            self.fail(key, f"{value!r} is not one of {', '.join(choices)}")
        if pattern and not re.fullmatch(pattern, value, re.ASCII):
            self.fail(key, f"{value!r} does not match {pattern}")
        return value

    def optional_text(self, key: str) -> str | None:
        return self._optional(key, _text)

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(_text(value, f"{self.path(key)}[{i}]") for i, value in enumerate(self._list(key, 0)))

    def integer(self, key: str, *, minimum: int = 0) -> int:
        return _integer(self._required(key), self.path(key), minimum)

    def optional_integer(self, key: str) -> int | None:
        return self._optional(key, lambda value, path: _integer(value, path, 0))

    def integers(self, key: str, *, minimum: int = 0, least: int = 0) -> tuple[int, ...]:
        """A list of at least `least` integers, none below `minimum`."""
        values = enumerate(self._list(key, least))
        return tuple(_integer(value, f"{self.path(key)}[{i}]", minimum) for i, value in values)

    def boolean(self, key: str) -> bool:
        value = self._required(key)
        if not isinstance(value, bool):
            raise SharkpackError(f"Expected true or false in '{self.path(key)}', found {kind_of(value)}")
        return value

    def _required(self, key: str) -> object:
        if key not in self._values:
            raise SharkpackError(f"Missing required value in '{self.path(key)}'")
        return self._values[key]

    def _optional(self, key: str, read: Callable[[object, str], _T]) -> _T | None:
        value = self._values.get(key)
        return None if value is None else read(value, self.path(key))

    def _list(self, key: str, least: int) -> list[object]:
        value = self._required(key)
        if not isinstance(value, list):
            raise SharkpackError(f"Expected a list in '{self.path(key)}', found {kind_of(value)}")
        if len(value) < least:
            self.fail(key, "empty")
        return value


def _text(value: object, path: str) -> str:
    if not isinstance(value, str):
        raise SharkpackError(f"Expected a string in '{path}', found {kind_of(value)}")
    if has_lone_surrogate(value):
        raise SharkpackError(f"Bad value in '{path}': half of a surrogate pair")
    return value


def _integer(value: object, path: str, minimum: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise SharkpackError(f"Expected an integer in '{path}', found {kind_of(value)}")
    if not minimum <= value < 2**63:
        raise SharkpackError(f"Bad value in '{path}': {value} is not between {minimum} and 2^63 - 1")
    return value


def has_lone_surrogate(text: str) -> bool:
    """Returns whether it is no Unicode text: JSON's escapes can spell half of a surrogate pair."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def kind_of(value: object) -> str:
    """Returns the kind of a JSON value, with its article."""
    names = {bool: "a boolean", int: "an integer", float: "a fraction", str: "a string", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")
