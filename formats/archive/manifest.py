"""The manifest: what a bundle says of itself, as JSON. Knows nothing of the archive around it.

Reading is strict in what it knows and keeps keys that it does not; `docs/format.md` says what every field means.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Self

from sharkpack.formats.archive.generate_calls import paged_signature
from sharkpack.formats.archive.manifest_object import Key, ManifestObject, read_at, refuse
from sharkpack.formats.archive.manifest_parts import (
    FORMAT_MAJOR,
    FORMAT_MINOR,
    MAX_CONTENT_BYTES,
    NO_CARD,
    NO_DEFAULTS,
    RESERVED_FEATURES,
    SIGNATURES,
    BaseModel,
    Format,
    GenerationDefaults,
    Member,
    ModelCard,
    ModelInfo,
    OperatorVersion,
    ParameterFile,
    Producer,
    ProgramSource,
    PromptPiece,
    Source,
    TokenizerInfo,
    single_text,
)
from sharkpack.formats.archive.member_path import check_distinct
from sharkpack.formats.archive.memory import PagePool
from sharkpack.formats.archive.signature import ABI_VERSION, Argument, EntryPoint, Signature
from sharkpack.formats.archive.target_info import Requirements, TargetInfo
from sharkpack.formats.io.json_values import parse_json_value

__all__ = [
    "ABI_VERSION",
    "FORMAT_MAJOR",
    "FORMAT_MINOR",
    "MANIFEST_PATH",
    "MAX_CONTENT_BYTES",
    "MAX_MANIFEST_BYTES",
    "NO_CARD",
    "NO_DEFAULTS",
    "RESERVED_FEATURES",
    "SIGNATURES",
    "Argument",
    "BaseModel",
    "EntryPoint",
    "Format",
    "GenerationDefaults",
    "Manifest",
    "Member",
    "ModelCard",
    "ModelInfo",
    "OperatorVersion",
    "PagePool",
    "ParameterFile",
    "Producer",
    "ProgramSource",
    "PromptPiece",
    "Requirements",
    "Signature",
    "Source",
    "TargetInfo",
    "TokenizerInfo",
    "paged_signature",
    "single_text",
]

MANIFEST_PATH = "manifest.json"
MAX_MANIFEST_BYTES = 4 << 20

_VERSION = r"[0-9]+(\.[0-9]+){1,3}((a|b|rc)[0-9]+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(ManifestObject):
    """All of a bundle's manifest; `members` lists every member but the manifest and signatures of it, in file order."""

    format: Annotated[Format, Key("Version of the file format.")]
    model: Annotated[ModelInfo, Key("What people want to know of the model.")]
    source: Annotated[Source, Key("The file that the bundle was built from.")]
    producer: Annotated[Producer, Key("Versions of the tools that built the bundle.")]
    minimum_runtime: Annotated[str, Key("The oldest IREE runtime that runs the modules.", pattern=_VERSION)]
    signature: Annotated[Signature, Key("The program ABI.")]
    tasks: Annotated[tuple[str, ...], Key("Kinds of the entry points: what the bundle is for.")] = ()
    tokenizer: Annotated[TokenizerInfo, Key("The tokenizer, and how it is used.")]
    generation: Annotated[GenerationDefaults, Key("How the source advises to generate.")] = NO_DEFAULTS
    parameters: Annotated[tuple[ParameterFile, ...], Key("Parameter files.", least=1)]
    targets: Annotated[tuple[TargetInfo, ...], Key("Compiled modules; none in an adapter.")]
    program: Annotated[ProgramSource | None, Key("What a further target is compiled from.")] = None
    members: Annotated[tuple[Member, ...], Key("All members but manifest.json and signatures, in file order.", least=1)]

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read UTF-8 JSON; raise SharkpackError, with the path of the value at fault, for anything not allowed."""
        return cls.from_values(parse_json_value(data, name=MANIFEST_PATH, max_bytes=MAX_MANIFEST_BYTES))

    @classmethod
    def from_values(cls, value: object) -> Self:
        """Read JSON that is parsed already; errors as of `from_json`."""
        if isinstance(value, dict) and "format" in value:  # first: another version may look different in all the rest
            read_at("format", Format, value["format"])
        return super(Manifest, cls).from_values(value)

    def to_json(self) -> bytes:
        """The canonical form: ASCII, keys sorted, one space of indent, a newline at the end."""
        return (json.dumps(self.to_dict(), sort_keys=True, indent=1, ensure_ascii=True) + "\n").encode("ascii")

    def check(self) -> None:
        """Hold the parts to one another: members that others name, ids of tokens, names that have to be distinct."""
        check_distinct(member.path for member in self.members)
        paths = {member.path for member in self.members}
        if MANIFEST_PATH in paths:
            refuse("members", f"{MANIFEST_PATH!r} lists itself")
        for where, path in self._named_members():
            if path not in paths:
                refuse(where, f"no member {path!r}")
        _check_unique("parameters", "scope", [item.scope for item in self.parameters])
        _check_unique("targets", "id", [target.id for target in self.targets])
        for where, token in self._named_tokens():
            if token >= self.signature.vocab_size:
                refuse(where, f"{token} is not below the vocabulary size {self.signature.vocab_size}")
        missing = [task for task in self.signature.tasks if task not in self.tasks]
        if missing:
            refuse(
                "tasks", f"the entry points make it {', '.join(self.signature.tasks)}, and {missing[0]} is not there"
            )

    def _named_members(self) -> Iterator[tuple[str, str]]:
        """The paths that the manifest has beside `members`, and where it has them."""
        yield "tokenizer.path", self.tokenizer.path
        if self.tokenizer.chat_template is not None:
            yield "tokenizer.chat_template", self.tokenizer.chat_template
        for name, path in self.tokenizer.chat_templates.items():
            yield f"tokenizer.chat_templates.{name}", path
        for index, parameters in enumerate(self.parameters):
            yield f"parameters[{index}].path", parameters.path
        for index, target in enumerate(self.targets):
            yield f"targets[{index}].path", target.path
        if self.program is not None:
            yield "program.path", self.program.path
            if self.program.calls is not None:
                yield "program.calls", self.program.calls

    def _named_tokens(self) -> Iterator[tuple[str, int]]:
        tokenizer = self.tokenizer
        if tokenizer.bos_token_id is not None:
            yield "tokenizer.bos_token_id", tokenizer.bos_token_id
        if tokenizer.eos_token_id is not None:
            yield "tokenizer.eos_token_id", tokenizer.eos_token_id
        for index, token in enumerate(tokenizer.end_token_ids):
            yield f"tokenizer.end_token_ids[{index}]", token
        for key, pieces in (("single", tokenizer.single), ("pair", tokenizer.pair)):
            for index, piece in enumerate(pieces):
                if piece.id is not None:
                    yield f"tokenizer.{key}[{index}].id", piece.id


def _check_unique(key: str, what: str, values: list[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            refuse(key, f"{what} {value!r} appears twice")
        seen.add(value)
