"""Hand-written manifests of models that nothing runs yet: each is read, changed and written without loss, and refused
by the name of what is missing."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from sharkpack.formats.archive.generate_signature import generate_signature, unavailable
from sharkpack.formats.archive.json_schema import manifest_schema
from sharkpack.formats.archive.manifest import Manifest
from sharkpack.formats.archive.sample_bundle import sample_manifest, sample_members
from sharkpack.formats.errors import SharkpackError

FOLDER = Path(__file__).parent / "manifests"
NAMES = ("embeddinggemma", "gemma4", "lora", "minilm", "qwen3.5-mtp")


def data(name: str) -> bytes:
    return (FOLDER / f"{name}.json").read_bytes()


def test_none_is_forgotten() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_read_changed_and_written_without_loss(name: str) -> None:
    manifest = Manifest.from_json(data(name))
    assert manifest.to_json() == data(name)
    renamed = replace(manifest, model=replace(manifest.model, name="Renamed"))
    expected = json.loads(data(name))
    expected["model"]["name"] = "Renamed"
    assert json.loads(renamed.to_json()) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_takes_it(name: str) -> None:
    jsonschema.Draft202012Validator(json.loads(manifest_schema())).validate(json.loads(data(name)))


@pytest.mark.parametrize(("name", "feature"), [("gemma4", "pools"), ("lora", "adapter"), ("qwen3.5-mtp", "slots")])
def test_the_feature_is_named(name: str, feature: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        Manifest.from_json(data(name)).format.check_runnable()
    assert str(caught.value).startswith(f"the bundle needs the feature '{feature}', which this sharkpack does not run")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilm", "this bundle does not generate text: it is for embed"),
        ("embeddinggemma", "this bundle does not generate text: it is for embed"),
        ("lora", "this bundle does not generate text: it is for no task"),
        (
            "gemma4",
            "this sharkpack cannot generate with this bundle's program: step is a function that it does not know, "
            "has the unknown roles sequences, positions, table_rows, visible_until, rows, "
            "uses 'local', a second pool of pages, is of program ABI version 2, not 1: upgrade sharkpack",
        ),
    ],
)
def test_what_is_missing_to_generate_is_named(name: str, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        generate_signature(Manifest.from_json(data(name)).signature)
    assert str(caught.value) == message


def test_each_entry_point_and_its_memory_are_named() -> None:
    with pytest.raises(SharkpackError) as caught:
        generate_signature(Manifest.from_json(data("qwen3.5-mtp")).signature)
    reasons = str(caught.value).split(": ", 1)[1].removesuffix(": upgrade sharkpack").split("; ")
    assert [reason.split(" ", 1)[0] for reason in reasons] == ["step", "decode", "copy_slots"]
    assert all("uses the memory 'state' of kind 'slots'" in reason for reason in reasons)


def test_only_the_entry_point_is_unavailable() -> None:
    """A bundle that has more than this version can call is called for the rest."""
    more = Manifest.from_json(data("qwen3.5-mtp")).signature

    mine = sample_manifest(sample_members()).signature
    both = replace(mine, entry_points=(*more.entry_points, *mine.entry_points), memory=(*mine.memory, more.memory[1]))
    assert generate_signature(both).batch_sizes == (1, 4)
    assert all(unavailable(entry, both) is not None for entry in more.entry_points if entry.kind == "generate")
