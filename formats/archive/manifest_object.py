"""Objects of the manifest: one dataclass each, from whose annotations its reader, its writer and its schema follow.

Reading is strict in the keys that a class has, and keeps those that it has not: what is written has them again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import partial
from types import NoneType, UnionType
from typing import Any, ClassVar, NoReturn, Self, TypeVar, get_args, get_origin

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.json_values import has_lone_surrogate, kind_of

UNKNOWN = "unknown"
"""Name of the attribute that holds the keys that a class does not have."""

Reader = Callable[[object], Any]
_Object = TypeVar("_Object", bound="ManifestObject")


class BadValueError(Exception):
    """A value that is not allowed; gathers the path to it while it unwinds. `{}` in `problem` stands for the path."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem, self.path = problem, path

    def within(self, key: str) -> Self:
        """The same error, seen from the object that has the value under `key`."""
        self.path = f"{key}{'' if not self.path or self.path.startswith('[') else '.'}{self.path}"
        return self

    def located(self) -> SharkpackError:
        return SharkpackError(self.problem.replace("{}", f"'{self.path or '.'}'", 1))


@dataclass(frozen=True, slots=True)
class Key:
    """Description and limits of a key, in the annotation of its field.

    minimum: of an integer, or of each in a list. least: how many items a list has at least. required: whether a reader
    refuses an object without it; None is that it has no default. Strings may be empty where null may stand for them
    and in lists.
    """

    description: str
    minimum: int = 0
    pattern: str = ""
    choices: tuple[str, ...] = ()
    least: int = 0
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class KeyField:
    """One key of a class: where its value comes from and goes to."""

    name: str
    type: Any
    key: Key
    required: bool
    default: Any
    read: Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestObject:
    """Base of the manifest's classes. `unknown` holds, as plain JSON, the keys that this version does not know.

    A class with `variants` is read as the one that its `kind` names; another kind is read as the class itself.
    """

    variants: ClassVar[dict[str, type["ManifestObject"]]] = {}
    unknown: Mapping[str, Any] = field(default_factory=dict, repr=False, hash=False)

    @classmethod
    def from_values(cls, value: object) -> Self:
        """Read a JSON object that is parsed already. Raises SharkpackError with the path of a value at fault."""
        return read_at("", cls, value)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars; reading them gives an equal object. Keys at their default are left out."""
        written = dict(self.unknown)
        for each in key_fields(type(self)):
            value = getattr(self, each.name)
            if each.required or value != each.default:
                written[each.name] = _plain(value)
            else:
                written.pop(each.name, None)
        return written

    def check(self) -> None:
        """Hold values to one another, by `refuse`. Called when an object has been read."""


def read_at(path: str, cls: type[_Object], value: object) -> _Object:
    """Read an object that stands at `path`, which errors begin with."""
    try:
        return _read_object(cls, value)
    except BadValueError as error:
        raise (error.within(path) if path else error).located() from None


def refuse(path: str, problem: str) -> NoReturn:
    """Raise the error of a value that contradicts others; `path` is from the object that looks."""
    raise BadValueError(f"Bad value in {{}}: {problem}", path)


def key_fields(cls: type[ManifestObject]) -> tuple[KeyField, ...]:
    """The keys of a class, in its order."""
    return _plan(cls).keys


@dataclass(frozen=True, slots=True)
class _Plan:
    """Keys of a class, the reader of each, and the names of those that have to be there."""

    keys: tuple[KeyField, ...]
    readers: Mapping[str, Reader]
    required: tuple[str, ...]


_plans: dict[type[ManifestObject], _Plan] = {}


def _plan(cls: type[ManifestObject]) -> _Plan:
    """Made at the first use of a class, from its annotations."""
    plan = _plans.get(cls)
    if plan is None:
        keys = tuple(map(_key_field, (each for each in fields(cls) if each.name != UNKNOWN)))
        readers = {each.name: each.read for each in keys}
        plan = _plans[cls] = _Plan(keys, readers, tuple(each.name for each in keys if each.required))
    return plan


def _key_field(declared: Field[Any]) -> KeyField:
    kind, key = get_args(declared.type)
    default = None if declared.default is MISSING else declared.default
    if declared.default_factory is not MISSING:
        default = declared.default_factory()
    has_none = declared.default is MISSING and declared.default_factory is MISSING
    required = has_none if key.required is None else key.required
    return KeyField(declared.name, kind, key, required, default, _reader(kind, key))


def is_optional(kind: Any) -> bool:
    """True where null stands for a value of the type."""
    return get_origin(kind) is UnionType and NoneType in get_args(kind)


def without_none(kind: Any) -> Any:
    """The type that values have where they are not null."""
    rest = [each for each in get_args(kind) if each is not NoneType]
    return rest[0] if len(rest) == 1 else rest[0] | rest[1]


def _read_object(cls: type[_Object], value: object) -> _Object:
    if not isinstance(value, dict):
        raise BadValueError(f"Expected an object in {{}}, found {kind_of(value)}")
    if cls.variants:
        kind = value.get("kind")
        cls = cls.variants.get(kind, cls) if isinstance(kind, str) else cls  # type: ignore[assignment]
    plan = _plan(cls)
    given: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    name = ""
    try:
        for name, found in value.items():
            read = plan.readers.get(name)
            if read is None:
                unknown[name] = found
            else:
                given[name] = read(found)
    except BadValueError as error:
        raise error.within(name)  # noqa: B904 (the same error goes on)
    for name in plan.required:
        if name not in given:
            raise BadValueError("Missing required value in {}", name)
    made = cls(**given, unknown=unknown)
    made.check()
    return made


def _reader(kind: Any, key: Key, *, empty: bool = False) -> Reader:
    """The function that checks a value of the type and returns it."""
    if is_optional(kind):
        inner = _reader(without_none(kind), key, empty=True)
        return lambda value: None if value is None else inner(value)
    if get_origin(kind) is tuple:
        return _list_reader(_reader(get_args(kind)[0], key, empty=True), key.least)
    if get_origin(kind) is Mapping:
        return _read_texts_by_key
    if isinstance(kind, type) and issubclass(kind, ManifestObject):
        return partial(_read_object, kind)
    if kind == int | str:
        integer, text = _integer_reader(key), _text_reader(key, empty=False)
        return lambda value: text(value) if isinstance(value, str) else integer(value)
    if kind is str:
        return _text_reader(key, empty=empty)
    return {int: _integer_reader(key), float: _read_number}[kind]


def _list_reader(read: Reader, least: int) -> Reader:
    def read_list(value: object) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise BadValueError(f"Expected a list in {{}}, found {kind_of(value)}")
        if len(value) < least:
            refuse("", "empty")
        made: list[Any] = []
        try:
            made.extend(map(read, value))
        except BadValueError as error:
            raise error.within(f"[{len(made)}]")  # noqa: B904 (the same error goes on)
        return tuple(made)

    return read_list


def _read_texts_by_key(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise BadValueError(f"Expected an object in {{}}, found {kind_of(value)}")
    read = _text_reader(Key(""), empty=True)
    for key, text in value.items():
        try:
            read(text)
        except BadValueError as error:
            raise error.within(key)  # noqa: B904 (the same error goes on)
    return dict(value)


def _text_reader(key: Key, *, empty: bool) -> Reader:
    wanted = re.compile(key.pattern, re.ASCII) if key.pattern else None

    def read_text(value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(f"Expected a string in {{}}, found {kind_of(value)}")
        if not value and not empty:
            refuse("", "empty")
        if not value.isascii() and has_lone_surrogate(value):
            refuse("", "half of a surrogate pair")
        if key.choices and value not in key.choices:
            refuse("", f"{value!r} is not one of {', '.join(key.choices)}")
        if wanted is not None and not wanted.fullmatch(value):
            refuse("", f"{value!r} does not match {key.pattern}")
        return value

    return read_text


def _integer_reader(key: Key) -> Reader:
    def read_integer(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadValueError(f"Expected an integer in {{}}, found {kind_of(value)}")
        if not key.minimum <= value < 2**63:
            refuse("", f"{value} is not between {key.minimum} and 2^63 - 1")
        return value

    return read_integer


def _read_number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadValueError(f"Expected a number in {{}}, found {kind_of(value)}")
    if not abs(value) < 2**63:
        refuse("", f"{value} is not between -2^63 and 2^63")
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, ManifestObject):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
