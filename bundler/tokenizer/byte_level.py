"""Byte-level BPE ("gpt2" vocabularies): words by regular expressions, bytes as letters, merges in the file's order."""

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource
from sharkpack.bundler.tokenizer.document import added_tokens, tokenizer_json
from sharkpack.bundler.tokenizer.merges import needed_merges
from sharkpack.bundler.tokenizer.pre_tokenizers import PRE_TOKENIZERS, PreTokenizer
from sharkpack.bundler.tokenizer.vocabulary import Vocabulary
from sharkpack.formats.errors import SharkpackError


def pre_tokenizer_of(source: TokenizerSource) -> PreTokenizer:
    """The pre-tokenizer that the file names; "default" when it names none."""
    name = source.pre or "default"
    if name not in PRE_TOKENIZERS:
        raise SharkpackError(
            f"{source.path}: the pre-tokenizer {name!r} is not supported; supported: {', '.join(PRE_TOKENIZERS)}"
        )
    return PRE_TOKENIZERS[name]


def byte_level_json(source: TokenizerSource, vocabulary: Vocabulary) -> bytes:
    """The tokenizer.json of a byte-level vocabulary; SharkpackError when it has no merges or they do not fit it."""
    pre_tokenizer = pre_tokenizer_of(source)
    cuts = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in pre_tokenizer.patterns
    ]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return tokenizer_json(
        vocabulary=vocabulary,
        added_tokens=added_tokens(source, vocabulary),
        merges=needed_merges(_read_merges(source, vocabulary)),
        normalizer=None,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [*cuts, letters]},
        decoder=letters,
        byte_fallback=False,
        whole_words=pre_tokenizer.whole_words,
    )


def _read_merges(source: TokenizerSource, vocabulary: Vocabulary) -> list[tuple[str, str]]:
    if source.merges is None:
        raise SharkpackError(
            f"{source.path}: a byte-level vocabulary without 'tokenizer.ggml.merges'; convert it again"
        )
    merges = []
    ids = vocabulary.ids
    for merge in source.merges:
        at = merge.find(" ", 1)
        left, right = merge[:at], merge[at + 1 :]
        if at < 0 or left not in ids or right not in ids or left + right not in ids:
            raise SharkpackError(
                f"{source.path}: the merge {merge!r} does not join two tokens of the vocabulary into a third"
            )
        merges.append((left, right))
    return merges
