"""The public names: all that their signatures mention is exported, and each loads from where it is said to be."""

import inspect
import types
import typing
from collections.abc import Callable, Iterator

import pytest
from tokenizers import Tokenizer

import sharkpack.runtime_shim as api
from sharkpack.runtime_shim.text.prompt import encode_prompt

CLASSES = [name for name in api.__all__ if inspect.isclass(getattr(api, name))]
FUNCTIONS = [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]


def test_every_name_is_declared_for_type_checkers_and_at_run_time() -> None:
    source = inspect.getsource(api)
    declared = source.split("if TYPE_CHECKING:")[1].split("__all__")[0]
    assert sorted(api.__all__) == sorted(api._HOME)
    assert [name for name in api.__all__ if name not in declared.replace(",", " ").split()] == []
    assert all(getattr(api, name) is not None for name in api.__all__)


def test_a_name_that_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = api.Nothing


@pytest.mark.parametrize("name", [*CLASSES, *FUNCTIONS])
def test_what_a_signature_mentions_is_exported(name: str) -> None:
    exported = {id(getattr(api, each)) for each in api.__all__}
    missing = {
        f"{where}: {found.__qualname__}"
        for where, hint in _hints(getattr(api, name))
        for found in _own_types(hint)
        if id(found) not in exported
    }
    assert not missing


def test_options_are_the_keyword_arguments_that_they_describe() -> None:
    def keywords(function: Callable[..., object]) -> set[str]:
        parameters = inspect.signature(function).parameters.values()
        return {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}

    assert set(api.Options.__annotations__) | set(api.PromptOptions.__annotations__) == keywords(api.Engine.generate)
    assert set(api.PromptOptions.__annotations__) == keywords(encode_prompt) - {"limit"}


def test_errors_that_docstrings_say_are_raised_are_exported() -> None:
    from sharkpack.runtime_shim import errors

    assert set(errors.__all__) <= set(api.__all__)


def _hints(thing: object) -> Iterator[tuple[str, object]]:
    """(where, annotation) of a function, or of what a class shows: its fields, properties and public methods."""
    if inspect.isfunction(thing):
        yield from _of_function(thing)
        return
    assert inspect.isclass(thing)
    if thing.__module__.startswith("sharkpack.runtime_shim"):
        for name, hint in typing.get_type_hints(thing).items():
            if not name.startswith("_"):
                yield f"{thing.__name__}.{name}", hint
    for name, member in vars(thing).items():
        if name.startswith("_") and name not in ("__init__", "__next__", "__enter__"):
            continue
        if (thing, name) == (api.Stream, "__init__"):
            continue  # only an engine makes one
        inner = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(inner) and inner.__module__.startswith("sharkpack.runtime_shim"):
            yield from _of_function(inner)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    for_type_checkers = {name: getattr(api, name) for name in api.__all__} | {"Tokenizer": Tokenizer}
    names = for_type_checkers | vars(inspect.getmodule(function))
    for name, hint in typing.get_type_hints(function, names).items():
        yield f"{function.__qualname__}({name})", hint


def _own_types(hint: object) -> Iterator[type]:
    """The runtime's classes in an annotation; `sharkpack.formats.archive` exports what it gives out itself."""
    if inspect.isclass(hint) and hint.__module__.startswith("sharkpack.runtime_shim."):
        yield hint
    for inner in typing.get_args(hint):
        for each in inner if isinstance(inner, list) else [inner]:
            yield from _own_types(each)
