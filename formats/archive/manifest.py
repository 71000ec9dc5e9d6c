"""The manifest: what a bundle says of itself, as JSON. Knows nothing of the archive around it.

Reading is strict in what it knows and ignores keys that it does not; `docs/format.md` says what every field means.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sharkpack.formats.archive.manifest_parts import (
    FORMAT_MAJOR,
    FORMAT_MINOR,
    KNOWN_FEATURES,
    MAX_CONTENT_BYTES,
    Format,
    Member,
    ModelInfo,
    ParameterFile,
    Producer,
    Source,
    TargetInfo,
    TokenizerInfo,
)
from sharkpack.formats.archive.member_path import check_distinct
from sharkpack.formats.archive.signature import ABI_VERSION, CacheInfo, Signature
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.json_values import JsonObject, parse_json

__all__ = [
    "ABI_VERSION",
    "FORMAT_MAJOR",
    "FORMAT_MINOR",
    "KNOWN_FEATURES",
    "MANIFEST_PATH",
    "MAX_CONTENT_BYTES",
    "MAX_MANIFEST_BYTES",
    "CacheInfo",
    "Format",
    "Manifest",
    "Member",
    "ModelInfo",
    "ParameterFile",
    "Producer",
    "Signature",
    "Source",
    "TargetInfo",
    "TokenizerInfo",
]

MANIFEST_PATH = "manifest.json"
MAX_MANIFEST_BYTES = 4 << 20

_VERSION = r"[0-9]+(\.[0-9]+){1,3}((a|b|rc)[0-9]+)?"
_ABSENT_IF_NONE = frozenset({"content_size", "source_date_epoch"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of a bundle's manifest; `members` lists every member but the manifest itself, in file order."""

    format: Format
    model: ModelInfo
    source: Source
    producer: Producer
    minimum_runtime: str
    signature: Signature
    tokenizer: TokenizerInfo
    parameters: tuple[ParameterFile, ...]
    targets: tuple[TargetInfo, ...]
    members: tuple[Member, ...]

    @classmethod
    def from_json(cls, data: bytes) -> "Manifest":
        """Read UTF-8 JSON; raise SharkpackError, with the path of the value at fault, for anything not allowed."""
        return cls._read(parse_json(data, name=MANIFEST_PATH, max_bytes=MAX_MANIFEST_BYTES))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        """As `from_json`, of JSON that is already parsed."""
        return cls._read(JsonObject(values, ""))

    @classmethod
    def _read(cls, node: JsonObject) -> "Manifest":
        manifest = cls(
            format=Format.read(node.child("format")),  # first: another version may look different in all the rest
            model=ModelInfo.read(node.child("model")),
            source=Source.read(node.child("source")),
            producer=Producer.read(node.child("producer")),
            minimum_runtime=node.text("minimum_runtime", pattern=_VERSION),
            signature=Signature.read(node.child("signature")),
            tokenizer=TokenizerInfo.read(node.child("tokenizer")),
            parameters=tuple(map(ParameterFile.read, node.children("parameters"))),
            targets=tuple(map(TargetInfo.read, node.children("targets"))),
            members=tuple(map(Member.read, node.children("members"))),
        )
        manifest._check_members(node)
        manifest._check_tokens(node.child("tokenizer"))
        return manifest

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and scalars; `from_dict` of it equals this."""
        return asdict(self, dict_factory=_without_absent)

    def to_json(self) -> bytes:
        """The canonical form: ASCII, keys sorted, one space of indent, a newline at the end."""
        return (json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")

    def _check_members(self, node: JsonObject) -> None:
        check_distinct(member.path for member in self.members)
        paths = {member.path for member in self.members}
        if MANIFEST_PATH in paths:
            node.fail("members", f"{MANIFEST_PATH!r} lists itself")
        tokenizer = node.child("tokenizer")
        _check_known(tokenizer, self.tokenizer.path, paths)
        if self.tokenizer.chat_template is not None:
            _check_known(tokenizer, self.tokenizer.chat_template, paths, key="chat_template")
        for name, path in self.tokenizer.chat_templates.items():
            _check_known(tokenizer.child("chat_templates"), path, paths, key=name)
        for parameters, item in zip(node.children("parameters"), self.parameters, strict=True):
            _check_known(parameters, item.path, paths)
        for target, info in zip(node.children("targets"), self.targets, strict=True):
            _check_known(target, info.path, paths)
        _check_unique(node, "parameters", "scope", (item.scope for item in self.parameters))
        _check_unique(node, "targets", "id", (target.id for target in self.targets))

    def _check_tokens(self, node: JsonObject) -> None:
        tokenizer, size = self.tokenizer, self.signature.vocab_size
        ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        ids |= {f"end_token_ids[{index}]": token for index, token in enumerate(tokenizer.end_token_ids)}
        for key, token in ids.items():
            if token is not None and token >= size:
                node.fail(key, f"{token} is not below the vocabulary size {size}")


def _check_known(node: JsonObject, path: str, paths: set[str], *, key: str = "path") -> None:
    if path not in paths:
        node.fail(key, f"no member {path!r}")


def _check_unique(node: JsonObject, key: str, what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise SharkpackError(f"Bad value in '{node.path(key)}': {what} {value!r} appears twice")
        seen.add(value)


def _without_absent(items: list[tuple[str, Any]]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in items
        if value is not None or key not in _ABSENT_IF_NONE
    }
