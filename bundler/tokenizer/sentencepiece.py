"""SentencePiece-style BPE ("llama" vocabularies): spaces as a letter, merges by score, bytes for unknown letters."""

from typing import Any

from sharkpack.bundler.sources.tokenizer_source import TokenizerSource
from sharkpack.bundler.tokenizer.document import added_tokens, tokenizer_json
from sharkpack.bundler.tokenizer.merges import merges_by_score
from sharkpack.bundler.tokenizer.vocabulary import Vocabulary
from sharkpack.formats.errors import SharkpackError

_SPACE = "\u2581"


def sentencepiece_json(source: TokenizerSource, vocabulary: Vocabulary) -> bytes:
    """The tokenizer.json of a scored vocabulary; SharkpackError when it lacks scores or one of the byte tokens."""
    if source.scores is None:
        raise SharkpackError(f"{source.path}: a SentencePiece vocabulary without 'tokenizer.ggml.scores'")
    missing = next((f"<0x{byte:02X}>" for byte in range(256) if f"<0x{byte:02X}>" not in vocabulary.ids), None)
    if missing:
        raise SharkpackError(f"{source.path}: a SentencePiece vocabulary without the byte token {missing}")
    added = added_tokens(source, vocabulary)
    scores = dict(zip(vocabulary.tokens, source.scores, strict=True))
    # What is found in the text beforehand, and what has a space in it, is never there to be merged.
    found = {token["content"] for token in added if _SPACE not in token["content"]}
    merged = (token for token in vocabulary.tokens if len(token) > 1 and token not in found and " " not in token)
    # llama.cpp puts a space before the text and after each special token, unless the file says not to.
    prefix = source.add_space_prefix is not False
    return tokenizer_json(
        vocabulary=vocabulary,
        added_tokens=added,
        merges=merges_by_score(merged, scores),
        normalizer=_normalizer(prefix),
        pre_tokenizer=None,
        decoder=_decoder(prefix),
        byte_fallback=True,
        whole_words=False,
    )


def _normalizer(prefix: bool) -> dict[str, Any]:
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if not prefix:
        return replace
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": _SPACE}, replace]}


def _decoder(prefix: bool) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}
