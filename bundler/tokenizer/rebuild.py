"""From a GGUF vocabulary to a tokenizer that the runtime loads: a tokenizer.json, and what begins and ends a text."""

from collections.abc import Callable
from dataclasses import dataclass

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.bundler.tokenizer.byte_level import byte_level_json, pre_tokenizer_of
from sharkpack.bundler.tokenizer.rebuilt import RebuiltTokenizer
from sharkpack.bundler.tokenizer.sentencepiece import sentencepiece_json
from sharkpack.bundler.tokenizer.vocabulary import Vocabulary, read_vocabulary
from sharkpack.formats.errors import SharkpackError


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
    for name, wanted, token_id in (("bos", add_bos, bos), ("eos", add_eos, eos)):
        if wanted and token_id is None:
            raise SharkpackError(f"{source.path}: the tokenizer adds a {name.upper()} token, but names none")
    return RebuiltTokenizer(
        json=kind.build(source, vocabulary),
        add_bos=add_bos,
        add_eos=add_eos,
        bos_token_id=bos,
        eos_token_id=eos,
        end_token_ids=tuple(sorted({*vocabulary.end_ids, *([] if eos is None else [eos])})),
        bos_token=None if bos is None else vocabulary.tokens[bos],
        eos_token=None if eos is None else vocabulary.tokens[eos],
        chat_template=source.chat_template,
    )


def _special_id(vocabulary: Vocabulary, name: str, default: int) -> int | None:
    """The file's id; failing that llama.cpp's default, if the vocabulary has a control token there."""
    if name in vocabulary.special_ids:
        return vocabulary.special_ids[name]
    fits = default < len(vocabulary.tokens) and vocabulary.kinds[default] == TokenType.CONTROL
    return default if fits else None
