"""From a GGUF vocabulary to a tokenizer that the runtime loads: a tokenizer.json, and what begins and ends a text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.bundler.tokenizer.byte_level import byte_level_json, pre_tokenizer_of
from sharkpack.bundler.tokenizer.chat_templates import without_default
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.sentencepiece import sentencepiece_json
from sharkpack.bundler.tokenizer.vocabulary import Vocabulary, read_vocabulary
from sharkpack.formats.errors import SharkpackError

SPECIAL_NAMES = {
    "unknown": "unk_token",
    "padding": "pad_token",
    "seperator": "sep_token",
    "mask": "mask_token",
    "cls": "cls_token",
}
"""Names in chat templates for tokens that GGUF has other names for."""
_NO_TOKEN = (-1, 0xFFFFFFFF)
"""Ids by which files say that there is no such token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One value of `tokenizer.ggml.model`, and the ids that hold when the file gives none."""

    build: Callable[[TokenizerSource, Vocabulary], bytes]
    add_bos: Callable[[TokenizerSource], bool]
    bos_id: int
    eos_id: int


_KINDS = {
    "gpt2": _Kind(build=byte_level_json, add_bos=lambda source: pre_tokenizer_of(source).add_bos, bos_id=11, eos_id=11),
    "llama": _Kind(build=sentencepiece_json, add_bos=lambda source: True, bos_id=1, eos_id=2),
}


def rebuild_tokenizer(source: TokenizerSource) -> RebuiltTokenizer:
    """Rebuild the tokenizer that `source` describes, so that it gives the ids that llama.cpp gives.

    The text is taken as it is (no Unicode normalisation); special tokens written in it are recognised. Raises
    SharkpackError for a kind of vocabulary or a pre-tokenizer that is not supported, and for a broken vocabulary.
    """
    if source.model not in _KINDS:
        raise SharkpackError(
            f"{source.path}: tokenizers of the kind {source.model!r} are not supported; supported: {', '.join(_KINDS)}"
        )
    kind = _KINDS[source.model]
    vocabulary = read_vocabulary(source)
    bos = _special_id(vocabulary, "bos", kind.bos_id)
    eos = _special_id(vocabulary, "eos", kind.eos_id)
    add_bos = kind.add_bos(source) if source.add_bos is None else source.add_bos
    add_eos = source.add_eos is True
    return RebuiltTokenizer(
        json=kind.build(source, vocabulary),
        add_bos=add_bos and bos is not None,
        add_eos=add_eos and eos is not None,
        bos_token_id=bos,
        eos_token_id=eos,
        end_token_ids=tuple(sorted({*vocabulary.end_ids, *([] if eos is None else [eos])})),
        special_tokens=_names(vocabulary, bos, eos),
        chat_templates=source.chat_templates,
        notes=(*vocabulary.notes, *_notes(source, vocabulary, {"bos": bos, "eos": eos})),
    )


def _names(vocabulary: Vocabulary, bos: int | None, eos: int | None) -> dict[str, str]:
    """Texts by the names that templates write. As in llama.cpp, a BOS or EOS that there is not is an empty text."""
    ids = {name: vocabulary.special_ids[key] for key, name in SPECIAL_NAMES.items() if key in vocabulary.special_ids}
    ends = {"bos_token": bos, "eos_token": eos}
    return {name: vocabulary.tokens[index] for name, index in ids.items()} | {
        name: "" if index is None else vocabulary.tokens[index] for name, index in ends.items()
    }


def _notes(source: TokenizerSource, vocabulary: Vocabulary, found: Mapping[str, int | None]) -> Iterator[str]:
    for name, index in source.special_ids.items():
        if name not in vocabulary.special_ids and index not in _NO_TOKEN:
            yield f"the {name} token's id {index} is outside the vocabulary of {len(vocabulary.tokens)}: it is left out"
    for name, added in (("bos", source.add_bos), ("eos", source.add_eos)):
        if added and found[name] is None:
            yield f"'add_{name}_token' is true and there is no {name.upper()} token: none is added"
    warning = without_default(source.chat_templates)
    if warning is not None:
        yield warning


def _special_id(vocabulary: Vocabulary, name: str, default: int) -> int | None:
    """The file's id; failing that llama.cpp's default, if the vocabulary has a control token there."""
    if name in vocabulary.special_ids:
        return vocabulary.special_ids[name]
    fits = default < len(vocabulary.tokens) and vocabulary.kinds[default] == TokenType.CONTROL
    return default if fits else None
