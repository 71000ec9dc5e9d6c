"""The shape of a tokenizer.json, as compact and as quick to load as the format allows."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.bundler.tokenizer.loading_order import loading_order
from sharkpack.bundler.tokenizer.vocabulary import Vocabulary

_MATCHED_IN_TEXT = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
_SPECIAL = (TokenType.CONTROL, TokenType.UNKNOWN)
_STRIPPING_MODELS = ("phi-3", "phi3")
_NEVER_STRIPPING = ("<unk>", "<s>", "<|endoftext|>")


def tokenizer_json(
    *,
    vocabulary: Vocabulary,
    added_tokens: Sequence[Mapping[str, Any]],
    merges: Sequence[tuple[str, str]],
    normalizer: Mapping[str, Any] | None,
    pre_tokenizer: Mapping[str, Any] | None,
    decoder: Mapping[str, Any],
    byte_fallback: bool,
    whole_words: bool,
) -> bytes:
    """The UTF-8 document. The same arguments give the same bytes.

    Merges are "left right" where that is unambiguous: it loads faster.
    """
    flat = all(" " not in left and " " not in right and not left.startswith("#version") for left, right in merges)
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": byte_fallback,
            "ignore_merges": whole_words,
            "vocab": loading_order(vocabulary.ids),
            "merges": [f"{left} {right}" for left, right in merges] if flat else merges,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def added_tokens(source: TokenizerSource, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The tokens that are found in a text before anything else is done to it.

    The special ones among them (control and unknown) print nothing when they are generated; user-defined ones do.
    """
    strips = any(name in source.model_name.lower() for name in _STRIPPING_MODELS)
    return [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": strips and token not in _NEVER_STRIPPING,
            "normalized": False,
            "special": kind in _SPECIAL,
        }
        for index, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if kind in _MATCHED_IN_TEXT and vocabulary.ids[token] == index
    ]
