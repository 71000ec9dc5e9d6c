"""The parts of a manifest, one class each; `read` takes its JSON object and raises SharkpackError with the path."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sharkpack.formats.archive.member_path import check_member_path
from sharkpack.formats.errors import BundleUnsupportedError, SharkpackError
from sharkpack.formats.io.json_values import JsonObject

FORMAT_MAJOR, FORMAT_MINOR = 1, 0
KNOWN_FEATURES: frozenset[str] = frozenset()
MAX_CONTENT_BYTES = 512 << 20

_SHA256 = "[0-9a-f]{64}"
_TARGET_ID = "[A-Za-z0-9_]([A-Za-z0-9._+-]*[A-Za-z0-9_+-])?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Version of the file format; `required_features` names what a reader must know to read this file at all."""

    major: int = FORMAT_MAJOR
    minor: int = FORMAT_MINOR
    required_features: tuple[str, ...] = ()

    @classmethod
    def read(cls, node: JsonObject) -> "Format":
        major, minor = node.integer("major"), node.integer("minor")
        if major != FORMAT_MAJOR:
            raise BundleUnsupportedError(
                f"format version {major}.{minor}; this sharkpack reads version {FORMAT_MAJOR}: "
                + ("upgrade sharkpack" if major > FORMAT_MAJOR else "build the bundle again")
            )
        features = node.texts("required_features")
        for feature in features:
            if feature not in KNOWN_FEATURES:
                raise BundleUnsupportedError(
                    f"the bundle needs the feature {feature!r}, unknown here: upgrade sharkpack"
                )
        return cls(major=major, minor=minor, required_features=features)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What people want to know of the model. Lengths in tokens; `license` as the source states it."""

    name: str
    architecture: str
    quantization: str
    parameter_count: int
    context_length: int
    trained_context_length: int
    license: str | None = None

    @classmethod
    def read(cls, node: JsonObject) -> "ModelInfo":
        return cls(
            name=node.text("name"),
            architecture=node.text("architecture"),
            quantization=node.text("quantization"),
            parameter_count=node.integer("parameter_count", minimum=1),
            context_length=node.integer("context_length", minimum=1),
            trained_context_length=node.integer("trained_context_length", minimum=1),
            license=node.optional_text("license"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The file that the bundle was built from: its base name, size in bytes, SHA-256 in hex."""

    kind: str
    file: str
    size: int
    sha256: str

    @classmethod
    def read(cls, node: JsonObject) -> "Source":
        return cls(
            kind=node.text("kind"),
            file=node.text("file"),
            size=node.integer("size"),
            sha256=node.text("sha256", pattern=_SHA256),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """Versions of the tools that built the bundle; `source_date_epoch` in seconds, where the build was given one."""

    sharkpack: str
    iree_compiler: str
    iree_turbine: str
    torch: str
    source_date_epoch: int | None = None

    @classmethod
    def read(cls, node: JsonObject) -> "Producer":
        return cls(
            sharkpack=node.text("sharkpack"),
            iree_compiler=node.text("iree_compiler"),
            iree_turbine=node.text("iree_turbine"),
            torch=node.text("torch"),
            source_date_epoch=node.optional_integer("source_date_epoch"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerInfo:
    """Where the tokenizer lies and which tokens are special. Paths name members; ids are below the vocabulary size.

    chat_templates: the members of those besides the one to use, by name. special_tokens: texts of tokens by the names
    that templates write ("bos_token").
    """

    path: str
    chat_template: str | None = None
    chat_templates: Mapping[str, str] = field(default_factory=dict)
    add_bos: bool
    add_eos: bool
    bos_token_id: int | None = None
    eos_token_id: int | None = None
    end_token_ids: tuple[int, ...]
    special_tokens: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, node: JsonObject) -> "TokenizerInfo":
        return cls(
            path=node.text("path"),
            chat_template=node.optional_text("chat_template"),
            chat_templates=node.optional_texts_by_key("chat_templates"),
            add_bos=node.boolean("add_bos"),
            add_eos=node.boolean("add_eos"),
            bos_token_id=node.optional_integer("bos_token_id"),
            eos_token_id=node.optional_integer("eos_token_id"),
            end_token_ids=node.integers("end_token_ids"),
            special_tokens=node.optional_texts_by_key("special_tokens"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterFile:
    """An IRPA member and the scope under which modules look for its tensors."""

    path: str
    scope: str

    @classmethod
    def read(cls, node: JsonObject) -> "ParameterFile":
        return cls(path=node.text("path"), scope=node.text("scope"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """A compiled module and what a device must have to run it; among those that can, the highest `priority` wins."""

    id: str
    path: str
    driver: str
    architecture: str
    cpu_features: tuple[str, ...]
    priority: int
    compile_flags: tuple[str, ...]

    @classmethod
    def read(cls, node: JsonObject) -> "TargetInfo":
        return cls(
            id=node.text("id", pattern=_TARGET_ID),
            path=node.text("path"),
            driver=node.text("driver"),
            architecture=node.text("architecture"),
            cpu_features=node.texts("cpu_features"),
            priority=node.integer("priority"),
            compile_flags=node.texts("compile_flags"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of the archive: offset of its data in the file, size there, SHA-256 of those bytes in hex.

    `content_size` is the size in bytes after decompression, of `.zst` members and of no others.
    """

    path: str
    offset: int
    size: int
    sha256: str
    content_size: int | None = None

    @classmethod
    def read(cls, node: JsonObject) -> "Member":
        member = cls(
            path=node.text("path"),
            offset=node.integer("offset"),
            size=node.integer("size"),
            sha256=node.text("sha256", pattern=_SHA256),
            content_size=node.optional_integer("content_size"),
        )
        try:
            check_member_path(member.path)
        except SharkpackError as error:
            node.fail("path", str(error))
        if (member.content_size is not None) != member.path.endswith(".zst"):
            node.fail("content_size", f"{member.content_size}; members named '*.zst' have one, and no others")
        if member.content_size is not None and member.content_size > MAX_CONTENT_BYTES:
            node.fail("content_size", f"{member.content_size} is more than {MAX_CONTENT_BYTES} bytes")
        return member
