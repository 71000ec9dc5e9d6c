import copy
import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import pytest

from sharkpack.formats.archive.json_schema import manifest_schema
from sharkpack.formats.archive.manifest import MAX_MANIFEST_BYTES, Manifest
from sharkpack.formats.archive.sample_bundle import sample_manifest, sample_members
from sharkpack.formats.errors import SharkpackError

Path = tuple[str | int, ...]

MANIFEST = sample_manifest(sample_members())
SCHEMA_FILE = resources.files("sharkpack.formats.archive") / "manifest.schema.json"
SCHEMA = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
CROSS_RULES = (
    "no member",
    "make it",
    "more than",
    "below",
    "either",
    "no memory",
    "twice",
    "the text",
    "not one of A",
    "unsafe",
    "no others",
)
WRONG: tuple[Any, ...] = (None, -1, 1.5, True, "", "\u0000 /..", [], [None], {}, 2**63, 10**30)


def changed(path: Path, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(MANIFEST.to_dict())
    place: Any = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return values


def without(path: Path) -> dict[str, Any]:
    values = changed(path, None)
    place: Any = values
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return values


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


PLACES = list(places(MANIFEST.to_dict()))


def accepted(values: dict[str, Any]) -> bool:
    try:
        Manifest.from_values(values)
    except SharkpackError:
        return False
    return True


def test_json_and_back() -> None:
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert Manifest.from_values(MANIFEST.to_dict()) == MANIFEST


def test_canonical_form() -> None:
    text = MANIFEST.to_json()
    assert text.isascii()
    assert text == (json.dumps(json.loads(text), sort_keys=True, indent=1) + "\n").encode()
    assert Manifest.from_json(text).to_json() == text


def test_the_schema_is_the_one_of_the_classes() -> None:
    """To make it anew: write what `manifest_schema()` returns to formats/archive/manifest.schema.json."""
    assert SCHEMA_FILE.read_bytes() == manifest_schema()


def test_schema_is_valid_and_accepts_the_sample() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    VALIDATOR.validate(MANIFEST.to_dict())


@pytest.mark.parametrize("path", PLACES, ids=str)
def test_schema_and_code_agree(path: Path) -> None:
    """The code refuses what the schema refuses; where the schema allows a value, only rules across values may not."""
    for values in (without(path), *(changed(path, wrong) for wrong in WRONG)):
        if not VALIDATOR.is_valid(values):
            assert not accepted(values), values
        elif not accepted(values):
            with pytest.raises(SharkpackError, match="Bad value in") as caught:
                Manifest.from_values(values)
            assert any(word in str(caught.value) for word in CROSS_RULES), caught.value


def test_schema_documents_every_field() -> None:
    def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for inner in node.get("properties", {}).values():
            yield inner
            yield from walk(inner)
        if "items" in node:
            yield from walk(node["items"])

    assert all("description" in node or node.get("type") == "array" for node in walk(SCHEMA))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format", "major"), 2, "format version 2.0; this sharkpack reads version 1: upgrade sharkpack"),
        (("format", "major"), 0, "format version 0.0; this sharkpack reads version 1: build the bundle again"),
        (
            ("format", "required_features"),
            ["delta-weights"],
            "the bundle needs the feature 'delta-weights', unknown here: upgrade sharkpack",
        ),
        (("model", "name"), 3, "Expected a string in 'model.name', found an integer"),
        (("model", "name"), "", "Bad value in 'model.name': empty"),
        (("model", "name"), "\ud800", "Bad value in 'model.name': half of a surrogate pair"),
        (("model", "license"), 1, "Expected a string in 'model.license', found an integer"),
        (("model", "parameter_count"), True, "Expected an integer in 'model.parameter_count', found a boolean"),
        (("model", "parameter_count"), 1.0, "Expected an integer in 'model.parameter_count', found a fraction"),
        (("model", "parameter_count"), 0, "Bad value in 'model.parameter_count': 0 is not between 1 and 2^63 - 1"),
        (("model",), [], "Expected an object in 'model', found a list"),
        (("source", "sha256"), "A" * 64, f"Bad value in 'source.sha256': {'A' * 64!r} does not match [0-9a-f]{{64}}"),
        (("signature", "vocab_size"), 0, "Bad value in 'signature.vocab_size': 0 is not between 1 and 2^63 - 1"),
        (
            ("signature", "entry_points", 0, "inputs", 0, "shape", 0),
            0,
            "Bad value in 'signature.entry_points[0].inputs[0].shape[0]': 0 is not between 1 and 2^63 - 1",
        ),
        (
            ("signature", "entry_points", 0, "inputs", 0, "shape", 1),
            "S+1",
            "Bad value in 'signature.entry_points[0].inputs[0].shape[1]': 'S+1' does not match",
        ),
        (
            ("signature", "entry_points", 0, "inputs", 0, "shape", 1),
            1.5,
            "Expected an integer in 'signature.entry_points[0].inputs[0].shape[1]', found a fraction",
        ),
        (
            ("signature", "entry_points", 0, "inputs", 3, "memory"),
            "state",
            "Bad value in 'signature.entry_points[0]': prefill_bs1 has no memory 'state' to use",
        ),
        (
            ("signature", "entry_points", 1, "function"),
            "prefill_bs1",
            "Bad value in 'signature.entry_points': function 'prefill_bs1' appears twice",
        ),
        (
            ("signature", "memory", 0, "page_elements"),
            1,
            "Bad value in 'signature.memory[0].page_elements': 1; its planes and page size make it 1024",
        ),
        (
            ("signature", "memory", 0, "page_size"),
            16,
            "Bad value in 'signature.memory[0].page_elements': 1024; its planes and page size make it 512",
        ),
        (
            ("signature", "memory", 0, "entries", 0, "planes", 0, "scale_block"),
            3,
            "Bad value in 'signature.memory[0].entries[0].planes[0].scale_block': 3 does not divide the dimension 8",
        ),
        (
            ("signature", "memory", 0, "entries", 0, "planes", 0, "order"),
            "heads",
            "Bad value in 'signature.memory[0].entries[0].planes[0].order': 'heads' is not one of dim, position",
        ),
        (("signature", "memory", 0, "kind"), 1, "Expected a string in 'signature.memory[0].kind', found an integer"),
        (("tasks",), [], "Bad value in 'tasks': the entry points make it generate, and generate is not there"),
        (("tokenizer", "single"), [], "Bad value in 'tokenizer.single': empty"),
        (("tokenizer", "single"), [{"id": 1}], "Bad value in 'tokenizer.single': it has the text 'A' once, and no"),
        (("tokenizer", "single"), [{"text": "A"}, {"text": "B"}], "Bad value in 'tokenizer.single': it has the text"),
        (("tokenizer", "single", 1), {}, "Bad value in 'tokenizer.single[1]': a piece has either 'id' or 'text'"),
        (
            ("tokenizer", "single", 1),
            {"id": 1, "text": "A"},
            "Bad value in 'tokenizer.single[1]': a piece has either 'id' or 'text'",
        ),
        (("tokenizer", "single", 1), {"text": "C"}, "Bad value in 'tokenizer.single[1].text': 'C' is not one of A, B"),
        (
            ("tokenizer", "single", 0, "id"),
            256,
            "Bad value in 'tokenizer.single[0].id': 256 is not below the vocabulary size 256",
        ),
        (("targets", 0, "requires"), [], "Expected an object in 'targets[0].requires', found a list"),
        (
            ("targets", 0, "requires", "memory_bytes"),
            -1,
            "Bad value in 'targets[0].requires.memory_bytes': -1 is not between 0 and 2^63 - 1",
        ),
        (
            ("targets", 0, "requires", "api_version"),
            "new",
            "Bad value in 'targets[0].requires.api_version': 'new' does not match",
        ),
        (("generation",), {"top_p": "1"}, "Expected a number in 'generation.top_p', found a string"),
        (("generation",), {"top_p": 2**63}, f"Bad value in 'generation.top_p': {2**63} is not between -2^63 and 2^63"),
        (
            ("program",),
            {"path": "x", "iree_compiler": "3.13.0"},
            "Bad value in 'program.path': no member 'x'",
        ),
        (
            ("members", 1, "path"),
            "signatures/a",
            "Bad value in 'members[1].path': 'signatures/a' is listed; signatures",
        ),
        (("tokenizer", "path"), "x", "Bad value in 'tokenizer.path': no member 'x'"),
        (("tokenizer", "chat_template"), "x", "Bad value in 'tokenizer.chat_template': no member 'x'"),
        (
            ("tokenizer", "end_token_ids"),
            [2, 256],
            "Bad value in 'tokenizer.end_token_ids[1]': 256 is not below the vocabulary size 256",
        ),
        (("tokenizer", "bos_token_id"), -1, "Bad value in 'tokenizer.bos_token_id': -1 is not between 0 and 2^63 - 1"),
        (("parameters", 0, "path"), "x", "Bad value in 'parameters[0].path': no member 'x'"),
        (("targets",), None, "Expected a list in 'targets', found null"),
        (("targets", 0, "path"), "x", "Bad value in 'targets[0].path': no member 'x'"),
        (("targets", 0, "id"), "../x", "Bad value in 'targets[0].id': '../x' does not match"),
        (
            ("targets", 0, "requires", "cpu_features"),
            [1],
            "Expected a string in 'targets[0].requires.cpu_features[0]', found an integer",
        ),
        (("members", 1, "path"), "../x", "Bad value in 'members[1].path': unsafe member name '../x'"),
        (("members", 1, "path"), "MIMETYPE", "member 'MIMETYPE' collides with 'mimetype' where case is ignored"),
        (("members", 1, "path"), "manifest.json", "Bad value in 'members': 'manifest.json' lists itself"),
        (
            ("members", 1, "content_size"),
            5,
            "Bad value in 'members[1].content_size': 5; members named '*.zst' have one",
        ),
        (("members", 2, "content_size"), None, "Bad value in 'members[2].content_size': None; members named '*.zst'"),
        (("members", 2, "content_size"), 2**40, "Bad value in 'members[2].content_size': 1099511627776 is more than"),
        (("minimum_runtime",), "new", "Bad value in 'minimum_runtime': 'new' does not match"),
    ],
)
def test_messages(path: Path, value: Any, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        Manifest.from_values(changed(path, value))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("path", "where"),
    [(("targets", 0, "path"), "targets[0].path"), (("format",), "format"), (("signature",), "signature")],
)
def test_missing_values_are_named(path: Path, where: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        Manifest.from_values(without(path))
    assert str(caught.value) == f"Missing required value in '{where}'"


@pytest.mark.parametrize("key", ["targets", "parameters"])
def test_ids_and_scopes_are_distinct(key: str) -> None:
    values = MANIFEST.to_dict()
    values[key] = values[key] * 2
    with pytest.raises(SharkpackError, match=f"Bad value in '{key}': .* appears twice"):
        Manifest.from_values(values)


def test_newer_minor_is_accepted() -> None:
    manifest = Manifest.from_values(changed(("format", "minor"), 7))
    assert manifest.format.minor == 7


def test_version_is_looked_at_before_all_else() -> None:
    with pytest.raises(SharkpackError, match="upgrade sharkpack"):
        Manifest.from_values({"format": {"major": 2, "minor": 0}, "model": None})


def test_null_and_absent_are_the_same() -> None:
    path = ("model", "license")
    assert Manifest.from_values(MANIFEST.to_dict()) == Manifest.from_values(changed(path, None)) == MANIFEST


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "manifest.json is not valid JSON"),
        (b"[]", "Expected an object in '.', found a list"),
        (b"{}", "Missing required value in 'format'"),
        (b'{"format": 1', "manifest.json is not valid JSON"),
        (b'{"a": 1, "a": 2}', "manifest.json is not valid JSON: a key appears twice in one object"),
        (b'{"a": NaN}', "manifest.json is not valid JSON: NaN is not a JSON number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "manifest.json is not valid JSON"),
        (b'{"a": "\xff"}', "manifest.json is not valid JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "manifest.json is not valid JSON"),
        (b"[" * 17, "manifest.json nests deeper than 16 levels"),
        (b"[" * 1_000_000, "manifest.json nests deeper than 16 levels"),
        (b'{"a": "' + b"[" * 100 + b'"}', "Missing required value in 'format'"),
        (b'{"a": "\\"' + b"[" * 100 + b'"}', "Missing required value in 'format'"),
        (b'"\\' * 2_000_000, "manifest.json is not valid JSON"),
        (b'{"":' * 1_000_000, "manifest.json nests deeper than 16 levels"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "manifest.json has 4194305 bytes; at most 4194304 are allowed"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_json_that_is_not_a_manifest(data: bytes, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        Manifest.from_json(data)
    assert str(caught.value).startswith(message)
