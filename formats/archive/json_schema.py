"""The JSON Schema of the manifest, made from its classes."""

import json
from collections.abc import Mapping
from types import UnionType
from typing import Any, get_args, get_origin

from sharkpack.formats.archive.manifest import FORMAT_MAJOR, Manifest
from sharkpack.formats.archive.manifest_object import Key, ManifestObject, is_optional, key_fields, without_none

SCHEMA_FILE = "manifest.schema.json"
_MOST = 2**63 - 1


def manifest_schema() -> bytes:
    """Returns formats/archive/manifest.schema.json: types and ranges, not the rules that tie values together."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"sharkpack bundle manifest, format version {FORMAT_MAJOR}",
        "description": "The types and ranges of manifest.json. Rules that tie values to one another are in "
        "docs/format.md. Unknown keys are allowed.",
        **_object(Manifest),
    }
    schema["properties"]["format"]["properties"]["major"]["const"] = FORMAT_MAJOR
    return (json.dumps(schema, indent=1) + "\n").encode()


def _object(cls: type[ManifestObject]) -> dict[str, Any]:
    keys = key_fields(cls)
    schema: dict[str, Any] = {
        "type": "object",
        "required": [each.name for each in keys if each.required],
        "properties": {
            each.name: {"description": each.key.description, **_value(each.type, each.key)} for each in keys
        },
    }
    if cls.variants and cls not in cls.variants.values():
        schema["allOf"] = [
            {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": _object(variant)}
            for kind, variant in cls.variants.items()
        ]
    return schema


def _value(kind: Any, key: Key, *, empty: bool = False) -> dict[str, Any]:
    if is_optional(kind):
        schema = _value(without_none(kind), key, empty=True)
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        return schema | {"type": [*types, "null"]}
    if get_origin(kind) is tuple:
        items = _value(get_args(kind)[0], key, empty=True)
        return {"type": "array", "items": items} | ({"minItems": key.least} if key.least else {})
    if get_origin(kind) is Mapping:
        return {"type": "object", "additionalProperties": {"type": "string"}}
    if isinstance(kind, type) and issubclass(kind, ManifestObject):
        return _object(kind)
    if isinstance(kind, UnionType):
        text, integer = _text(key, empty=False), _integer(key)
        return {**text, **integer, "type": ["integer", "string"]}
    return {str: _text(key, empty=empty), int: _integer(key), float: _NUMBER}[kind]


_NUMBER = {"type": "number", "exclusiveMinimum": -(2**63), "exclusiveMaximum": 2**63}


def _integer(key: Key) -> dict[str, Any]:
    return {"type": "integer", "minimum": key.minimum, "maximum": _MOST}


def _text(key: Key, *, empty: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if key.choices:
        return schema | {"enum": list(key.choices)}
    if not empty:
        schema["minLength"] = 1
    if key.pattern:
        schema["pattern"] = f"^({key.pattern})$"
    return schema
