"""A vocabulary as a GGUF file describes it, before it becomes a tokenizer. Knows the keys, not what they imply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

SPECIAL_TOKENS = (
    "bos",
    "eos",
    "eot",
    "eom",
    "unknown",
    "padding",
    "seperator",  # the key is spelled so in the format
    "mask",
    "cls",
    "fim_pre",
    "fim_suf",
    "fim_mid",
    "fim_pad",
    "fim_rep",
    "fim_sep",
)


_CHAT_TEMPLATE = "tokenizer.chat_template"


class TokenType(IntEnum):
    """The values of `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSource:
    """The `tokenizer.*` keys of a file; None (or no entry in `special_ids`) where it does not have one.

    `special_ids` maps a name of SPECIAL_TOKENS to a token id, not yet checked against the vocabulary. `chat_templates`
    has them by name, "default" for the one without. `rows`: of the embedding, where it is known.
    """

    path: Path
    model: str
    pre: str | None
    tokens: Sequence[str] = field(repr=False)
    scores: Sequence[float] | None = field(repr=False)
    token_types: Sequence[int] | None = field(repr=False)
    merges: Sequence[str] | None = field(repr=False)
    special_ids: Mapping[str, int]
    add_bos: bool | None
    add_eos: bool | None
    add_space_prefix: bool | None
    chat_templates: Mapping[str, str] = field(repr=False)
    model_name: str
    rows: int | None = None


def read_tokenizer_source(metadata: Metadata, rows: int | None = None) -> TokenizerSource:
    """Collect the vocabulary in `metadata`; SharkpackError when it is absent, mistyped or of unequal lengths.

    rows: of the embedding, if there is one.
    """
    prefix = "tokenizer.ggml."
    tokens = metadata.texts(f"{prefix}tokens")
    scores = metadata.floats(f"{prefix}scores", None)
    token_types = metadata.integers(f"{prefix}token_type", None)
    for key, values in (("scores", scores), ("token_type", token_types)):
        if values is not None and len(values) != len(tokens):
            raise SharkpackError(
                f"{metadata.path}: '{prefix}{key}' has {len(values)} entries and '{prefix}tokens' {len(tokens)}"
            )
    ids = {name: metadata.integer(f"{prefix}{name}_token_id", None) for name in SPECIAL_TOKENS}
    return TokenizerSource(
        path=metadata.path,
        model=metadata.text(f"{prefix}model"),
        pre=metadata.text(f"{prefix}pre", None),
        tokens=tokens,
        scores=scores,
        token_types=token_types,
        merges=metadata.texts(f"{prefix}merges", None),
        special_ids={name: token_id for name, token_id in ids.items() if token_id is not None},
        add_bos=metadata.boolean(f"{prefix}add_bos_token", None),
        add_eos=metadata.boolean(f"{prefix}add_eos_token", None),
        add_space_prefix=metadata.boolean(f"{prefix}add_space_prefix", None),
        chat_templates=_chat_templates(metadata),
        model_name=metadata.text("general.name", ""),
        rows=rows,
    )


def _chat_templates(metadata: Metadata) -> dict[str, str]:
    """The default has a key of its own; others have their names at the end of theirs."""
    named = [key for key in metadata.values if key.startswith(f"{_CHAT_TEMPLATE}.")]
    found = {key.removeprefix(f"{_CHAT_TEMPLATE}."): metadata.text(key) for key in named}
    return found | ({"default": metadata.text(_CHAT_TEMPLATE)} if _CHAT_TEMPLATE in metadata.values else {})
