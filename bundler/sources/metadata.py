"""Typed reading of a model's metadata: every error names the file, the key, what was found and what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Final, TypeVar, final

from sharkpack.formats.errors import SharkpackError

_T = TypeVar("_T")
_D = TypeVar("_D")


@final
class Required:
    """The default of a value that has none."""


REQUIRED: Final = Required()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Key-value metadata of the file at `path`.

    Each getter raises SharkpackError when the value has another type, or when it is absent and no `default` is given.
    """

    path: Path
    values: Mapping[str, Any]

    def integer(self, key: str, default: _D | Required = REQUIRED) -> int | _D:
        return self._get(key, int, "an integer", default)

    def floating(self, key: str, default: _D | Required = REQUIRED) -> float | _D:
        """A finite number; an integer is taken for one."""
        value = self._get(key, float, "a number", default)
        if type(value) is float and not isfinite(value):
            raise SharkpackError(f"{self.path}: '{key}' is {value}; expected a finite number")
        return value

    def text(self, key: str, default: _D | Required = REQUIRED) -> str | _D:
        return self._get(key, str, "a string", default)

    def boolean(self, key: str, default: _D | Required = REQUIRED) -> bool | _D:
        return self._get(key, bool, "a boolean", default)

    def integers(self, key: str, default: _D | Required = REQUIRED) -> list[int] | _D:
        return self._list(key, int, "an array of integers", default)

    def floats(self, key: str, default: _D | Required = REQUIRED) -> list[float] | _D:
        return self._list(key, float, "an array of numbers", default)

    def texts(self, key: str, default: _D | Required = REQUIRED) -> list[str] | _D:
        return self._list(key, str, "an array of strings", default)

    def booleans(self, key: str, default: _D | Required = REQUIRED) -> list[bool] | _D:
        return self._list(key, bool, "an array of booleans", default)

    def _get(self, key: str, kind: type[_T], what: str, default: _D | Required) -> _T | _D:
        if key not in self.values:
            return self._default(key, default)
        value = self.values[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise SharkpackError(f"{self.path}: '{key}' is {_describe(value)}; expected {what}")
        return value

    def _list(self, key: str, kind: type[_T], what: str, default: _D | Required) -> list[_T] | _D:
        if key not in self.values:
            return self._default(key, default)
        value = self.values[key]
        if kind is float and isinstance(value, list) and value and type(value[0]) is int:
            value = [float(item) for item in value]
        # A file gives the items of an array one type, so that the first stands for all.
        if not isinstance(value, list) or (value and type(value[0]) is not kind):
            raise SharkpackError(f"{self.path}: '{key}' is {_describe(value)}; expected {what}")
        return value

    def _default(self, key: str, default: _D | Required) -> _D:
        if isinstance(default, Required):
            raise SharkpackError(f"{self.path}: the metadata has no '{key}', which this model needs")
        return default


def _describe(value: object) -> str:
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
