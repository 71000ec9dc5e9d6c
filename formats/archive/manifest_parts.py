"""The parts of a manifest that describe the model and the members; targets and the program have files of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from sharkpack.formats.archive.manifest_object import Key, ManifestObject, refuse
from sharkpack.formats.archive.member_path import check_member_path
from sharkpack.formats.errors import BundleUnsupportedError, SharkpackError

FORMAT_MAJOR, FORMAT_MINOR = 1, 0
RESERVED_FEATURES = frozenset({"adapter", "media", "pools", "programs", "slots"})
"""Features whose manifests are understood, so that they can be shown and edited, but that nothing runs yet."""
SIGNATURES = "signatures/"
"""Folder of the members that follow the manifest and are not listed in it."""
MAX_CONTENT_BYTES = 512 << 20

_SHA256 = "[0-9a-f]{64}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(ManifestObject):
    """Version of the file format; `required_features` names what a reader must know to read this file at all."""

    major: Annotated[int, Key("Readers refuse any other.", required=True)] = FORMAT_MAJOR
    minor: Annotated[int, Key("Readers accept newer ones.", required=True)] = FORMAT_MINOR
    required_features: Annotated[tuple[str, ...], Key("What a reader must know to read this file at all.")] = ()

    def check(self) -> None:
        if self.major != FORMAT_MAJOR:
            raise BundleUnsupportedError(
                f"format version {self.major}.{self.minor}; this sharkpack reads version {FORMAT_MAJOR}: "
                + ("upgrade sharkpack" if self.major > FORMAT_MAJOR else "build the bundle again")
            )
        for feature in self.required_features:
            if feature not in RESERVED_FEATURES:
                raise BundleUnsupportedError(
                    f"the bundle needs the feature {feature!r}, unknown here: upgrade sharkpack"
                )

    def check_runnable(self) -> None:
        """Raise BundleUnsupportedError for a feature that can be read and not run."""
        if self.required_features:
            raise BundleUnsupportedError(
                f"the bundle needs the feature {self.required_features[0]!r}, which this sharkpack does not run: "
                "upgrade sharkpack"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel(ManifestObject):
    """A model that the source was made from."""

    name: Annotated[str | None, Key("Its name.")] = None
    organization: Annotated[str | None, Key("Who published it.")] = None
    url: Annotated[str | None, Key("Where it is found.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard(ManifestObject):
    """Model card of the source, for people; nothing depends on it."""

    author: Annotated[str | None, Key("Who made it.")] = None
    organization: Annotated[str | None, Key("Who published it.")] = None
    description: Annotated[str | None, Key("What it is, in the source's words.")] = None
    url: Annotated[str | None, Key("Where it is found.")] = None
    license_name: Annotated[str | None, Key("Name of a licence of its own.")] = None
    license_link: Annotated[str | None, Key("Where the licence is found.")] = None
    base_models: Annotated[tuple[BaseModel, ...], Key("The models that it was made from.")] = ()
    languages: Annotated[tuple[str, ...], Key("Languages that it is for.")] = ()
    tags: Annotated[tuple[str, ...], Key("Words to find it by.")] = ()


NO_CARD = ModelCard()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo(ManifestObject):
    """Name, kind and sizes of the model, for people. Lengths in tokens; `license` as the source states it."""

    name: Annotated[str, Key("Its name.")]
    kind: Annotated[str, Key("`model`, or `adapter` for one that fits another bundle.")] = "model"
    architecture: Annotated[str, Key("The recipe it was built with.")]
    quantization: Annotated[str, Key("What its weights mostly are, in GGML's terms.")]
    parameter_count: Annotated[int, Key("Number of weights.", minimum=1)]
    context_length: Annotated[int, Key("Tokens a sequence may have in this bundle.", minimum=1)]
    trained_context_length: Annotated[int, Key("Tokens a sequence may have by the source.", minimum=1)]
    license: Annotated[str | None, Key("As the source states it.")] = None
    card: Annotated[ModelCard, Key("What the source says of itself.")] = NO_CARD


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationDefaults(ManifestObject):
    """Sampling parameters that the source advises, for a caller to take or leave; None where it does not say."""

    temperature: Annotated[float | None, Key("0 is greedy.")] = None
    top_k: Annotated[int | None, Key("Sample among as many tokens; 0 is all.")] = None
    top_p: Annotated[float | None, Key("Sample among the likeliest tokens of this probability together.")] = None
    min_p: Annotated[float | None, Key("Sample among tokens this probable, relative to the likeliest.")] = None
    typical_p: Annotated[float | None, Key("Sample among locally typical tokens of this probability.")] = None
    xtc_probability: Annotated[float | None, Key("How often XTC removes the likeliest tokens.")] = None
    xtc_threshold: Annotated[float | None, Key("Probability from which XTC removes tokens.")] = None
    repetition_penalty: Annotated[float | None, Key("Divides logits of tokens that have been; 1 is none.")] = None
    presence_penalty: Annotated[float | None, Key("Subtracted from logits of tokens that have been.")] = None
    frequency_penalty: Annotated[float | None, Key("Subtracted for each time that a token has been.")] = None
    penalty_window: Annotated[int | None, Key("Tokens that penalties look back; absent is all.")] = None
    mirostat: Annotated[int | None, Key("Version of mirostat; 0 is none.")] = None
    mirostat_tau: Annotated[float | None, Key("Surprise that mirostat aims at.")] = None
    mirostat_eta: Annotated[float | None, Key("Learning rate of mirostat.")] = None
    samplers: Annotated[str | None, Key("Order of samplers, as llama.cpp writes it.")] = None
    stop: Annotated[tuple[str, ...], Key("Strings that end a generation.")] = ()


NO_DEFAULTS = GenerationDefaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(ManifestObject):
    """The file that the bundle was built from: its base name, size in bytes, SHA-256 in hex."""

    kind: Annotated[str, Key("Its format.")]
    file: Annotated[str, Key("Its base name.")]
    size: Annotated[int, Key("Its size in bytes.")]
    sha256: Annotated[str, Key("Its SHA-256.", pattern=_SHA256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer(ManifestObject):
    """Versions of the tools that built the bundle; `source_date_epoch` in seconds, where the build was given one."""

    sharkpack: Annotated[str, Key("Version.")]
    iree_compiler: Annotated[str, Key("Version.")]
    iree_turbine: Annotated[str, Key("Version.")]
    torch: Annotated[str, Key("Version.")]
    source_date_epoch: Annotated[int | None, Key("SOURCE_DATE_EPOCH of the build, in seconds.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPiece(ManifestObject):
    """A piece of what the model is given: a token by its id, or a text of the caller; exactly one of the two."""

    id: Annotated[int | None, Key("Id of a token.")] = None
    text: Annotated[str | None, Key("The caller's text: `A`, in a pair also `B`.")] = None
    type: Annotated[int, Key("Token type of the piece's tokens.")] = 0

    def check(self) -> None:
        if (self.id is None) == (self.text is None):
            refuse("", "a piece has either 'id' or 'text'")
        if self.text is not None and self.text not in ("A", "B"):
            refuse("text", f"{self.text!r} is not one of A, B")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerInfo(ManifestObject):
    """Members of the tokenizer, and its special tokens. Paths name members; ids are below the vocabulary size.

    single: what the model is given for one text: tokens before it, the text, tokens after it. chat_templates: members
    besides the one to use, by name. special_tokens: texts of tokens by the names that templates write ("bos_token").
    """

    path: Annotated[str, Key("The tokenizer, a member.")]
    chat_template: Annotated[str | None, Key("The chat template, a member.")] = None
    chat_templates: Annotated[Mapping[str, str], Key("Members with further chat templates, by name.")] = field(
        default_factory=dict
    )
    single: Annotated[tuple[PromptPiece, ...], Key("What the model is given for one text.", least=1)]
    pair: Annotated[tuple[PromptPiece, ...], Key("Reserved: what it is given for two.")] = ()
    bos_token_id: Annotated[int | None, Key("Id of the token that begins a text.")] = None
    eos_token_id: Annotated[int | None, Key("Id of the token that ends a text.")] = None
    end_token_ids: Annotated[tuple[int, ...], Key("Ids of the tokens that end a generation.")]
    special_tokens: Annotated[Mapping[str, str], Key("Texts of tokens by the names that chat templates write.")] = (
        field(default_factory=dict)
    )

    def check(self) -> None:
        if [piece.text for piece in self.single if piece.text is not None] != ["A"]:
            refuse("single", "it has the text 'A' once, and no other")

    @property
    def prefix(self) -> tuple[int, ...]:
        """Ids of the tokens before the text of `single`."""
        return tuple(piece.id for piece in self.single[: self._text] if piece.id is not None)

    @property
    def suffix(self) -> tuple[int, ...]:
        """Ids of the tokens after the text of `single`."""
        return tuple(piece.id for piece in self.single[self._text :] if piece.id is not None)

    @property
    def _text(self) -> int:
        return next(index for index, piece in enumerate(self.single) if piece.text is not None)


def single_text(prefix: tuple[int, ...] = (), suffix: tuple[int, ...] = ()) -> tuple[PromptPiece, ...]:
    """`TokenizerInfo.single` with these tokens before and after the text."""
    ids = [tuple(PromptPiece(id=each) for each in side) for side in (prefix, suffix)]
    return (*ids[0], PromptPiece(text="A"), *ids[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterFile(ManifestObject):
    """An IRPA member and the scope under which modules look for its tensors.

    access: `all`, or `rows` where a call reads a few rows of it here and there; a reader takes what it does not know
    for `all`.
    """

    path: Annotated[str, Key("A parameter file, a member.")]
    scope: Annotated[str, Key("Scope under which modules look for its tensors.")]
    access: Annotated[str, Key("How calls read it: `all`, or `rows`, a few at random.")] = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorVersion(ManifestObject):
    """An operator that a program calls."""

    name: Annotated[str, Key("Its name.")]
    version: Annotated[int, Key("Version of what it computes.", minimum=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSource(ManifestObject):
    """The program before it is lowered for a target: what a further target is compiled from."""

    path: Annotated[str, Key("The program as MLIR text, a member.")]
    calls: Annotated[str | None, Key("The operators that it calls, with their attributes, a member.")] = None
    iree_compiler: Annotated[str, Key("Version of IREE whose MLIR it is.")]
    operators: Annotated[tuple[OperatorVersion, ...], Key("The operators that it calls.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Member(ManifestObject):
    """One member of the archive: offset of its data in the file, size there, SHA-256 of those bytes in hex.

    `content_size` is the size in bytes after decompression, of `.zst` members and of no others.
    """

    path: Annotated[str, Key("Its name.")]
    offset: Annotated[int, Key("Where its data begins in the file, in bytes.")]
    size: Annotated[int, Key("Bytes in the file.")]
    sha256: Annotated[str, Key("SHA-256 of the bytes in the file.", pattern=_SHA256)]
    content_size: Annotated[int | None, Key("Bytes after decompression, of *.zst members and no others.")] = None

    def check(self) -> None:
        try:
            check_member_path(self.path)
        except SharkpackError as error:
            refuse("path", str(error))
        if self.path.startswith(SIGNATURES):
            refuse("path", f"{self.path!r} is listed; signatures follow the manifest and are not")
        if (self.content_size is not None) != self.path.endswith(".zst"):
            refuse("content_size", f"{self.content_size}; members named '*.zst' have one, and no others")
        if self.content_size is not None and self.content_size > MAX_CONTENT_BYTES:
            refuse("content_size", f"{self.content_size} is more than {MAX_CONTENT_BYTES} bytes")
