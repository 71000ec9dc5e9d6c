"""A manifest that is read, changed and written again has every key that this version does not know."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from json import dumps, loads
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.formats.archive.manifest_object import ManifestObject, key_fields
from tests.formats.archive.full_manifest import full_manifest

NEW = {"new": [1, {"deep": None, "text": "\ud800é"}], "0.10": 0.1, "large": 10**30}
Place = tuple[str | int, ...]


def objects(value: Any, place: Place = ()) -> Iterator[Place]:
    """Places of the objects, the outermost first; not of those whose keys are names, of which all are known."""
    if place[-1:] in (("special_tokens",), ("chat_templates",)):
        return
    if isinstance(value, dict):
        yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from objects(inner, (*place, key))


def at(values: Any, place: Place) -> Any:
    for key in place:
        values = values[key]
    return values


FULL = full_manifest().to_dict()


def canonical(values: dict[str, Any]) -> bytes:
    return (dumps(values, sort_keys=True, indent=1) + "\n").encode()


def classes(cls: type[ManifestObject]) -> set[type[ManifestObject]]:
    return {cls}.union(*(classes(each) for each in cls.__subclasses__()))


def test_the_full_manifest_has_an_object_of_every_class() -> None:
    def kinds(value: Any) -> Iterator[type]:
        if isinstance(value, ManifestObject):
            yield type(value)
            for each in key_fields(type(value)):
                yield from kinds(getattr(value, each.name))
        elif isinstance(value, tuple):
            for item in value:
                yield from kinds(item)

    defined = {each for each in classes(ManifestObject) if key_fields_of(each) and each is not ManifestObject}
    assert {each.__name__ for each in defined} <= {each.__name__ for each in kinds(full_manifest())}


def key_fields_of(cls: type[ManifestObject]) -> bool:
    return cls.__module__.startswith("sharkpack.")


@pytest.mark.parametrize("place", list(objects(FULL)), ids=str)
def test_unknown_keys_survive_in_every_object(place: Place) -> None:
    values = copy.deepcopy(FULL)
    at(values, place).update(NEW)
    data = canonical(values)
    assert Manifest.from_json(data).to_json() == data


def test_they_survive_changes_all_together() -> None:
    values = copy.deepcopy(FULL)
    places = list(objects(FULL))
    for place in places:
        at(values, place).update(NEW)
    manifest = Manifest.from_json(canonical(values))
    changed = replace(
        manifest,
        model=replace(manifest.model, name="Renamed"),
        targets=tuple(replace(target, priority=target.priority + 1) for target in manifest.targets),
        signature=replace(manifest.signature, context_length=50),
    )
    written = loads(changed.to_json())
    assert all(at(written, place).items() >= NEW.items() for place in places)
    assert (written["model"]["name"], written["signature"]["context_length"]) == ("Renamed", 50)
    values["model"]["name"], values["signature"]["context_length"] = "Renamed", 50
    for target in values["targets"]:
        target["priority"] += 1
    assert changed.to_json() == canonical(values)


def test_a_key_named_as_the_attribute_that_holds_them_survives() -> None:
    values = copy.deepcopy(FULL)
    values["model"]["unknown"] = {"a": 1}
    assert Manifest.from_json(canonical(values)).to_json() == canonical(values)


def test_null_and_what_stands_at_its_default_are_left_out() -> None:
    values = copy.deepcopy(FULL)
    values["model"].update(license=None)
    del values["model"]["card"]
    written = Manifest.from_values(values | {"tasks": ["generate"], "program": None}).to_dict()
    assert "license" not in written["model"]
    assert "program" not in written


def test_numbers_that_json_cannot_say_are_refused(tmp_path: Path) -> None:
    data = canonical(FULL).replace(b'"top_p": 0.95', b'"top_p": 1e999')
    with pytest.raises(Exception, match="1e999 is more than a number can be"):
        Manifest.from_json(data)
