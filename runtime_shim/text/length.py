"""Tells that a text has more tokens than fit, long before all of it is tokenised."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PIECE = 1 << 16
"""Characters that are tokenised together."""
CUT_TOKENS = 64
"""Tokens that a cut may make, at most: counted as none."""
LONG_TOKEN = 8
"""Characters of a token in a text that is worth the look: others are tokenised sooner than looked at."""
NFC_SHRINKS = 3
"""How many times fewer bytes a text may have after composition (three Hangul letters become one syllable)."""


def has_more_tokens(tokenizer: "Tokenizer", text: str, limit: int) -> bool:
    """Returns whether `text` has more than `limit` tokens for certain. False may be either: then it has to be counted.

    Costs about as much as tokenising `limit` tokens. Raises what the tokenizer does for text that is not Unicode.
    """
    looked_at = max(PIECE, LONG_TOKEN * limit)
    if len(text) <= looked_at:
        return False
    tokens = seen = 0
    for piece in _pieces(text):
        tokens += max(0, len(tokenizer.encode(piece, add_special_tokens=False).ids) - CUT_TOKENS)
        seen += len(piece)
        if tokens > limit:
            return True
        if seen - len(piece) < looked_at <= seen and _cannot_fit(tokenizer, text, limit):
            return True
    return False


def _pieces(text: str) -> Iterator[str]:
    """The text in pieces that begin at white space after a word, where there is any: no token crosses that."""
    start = 0
    while start < len(text):
        end = start + PIECE
        if end < len(text):
            at = next((i for i in range(end, end - PIECE // 2, -1) if text[i].isspace() > text[i - 1].isspace()), end)
            end = at
        yield text[start:end]
        start = end


def _cannot_fit(tokenizer: "Tokenizer", text: str, limit: int) -> bool:
    """Returns whether the bytes of the text are more than `limit` of the longest tokens; False too where nothing bounds
    one."""
    longest = longest_token(tokenizer)
    return longest is not None and len(text.encode()) > limit * longest


def longest_token(tokenizer: "Tokenizer") -> int | None:
    """Bytes of a text that one token stands for at most, or None where a token may stand for any number.

    That is where white space around a token belongs to it, where what is not in the vocabulary becomes one token or
    none, and where text is changed in other ways than those known here.
    """
    document: dict[str, Any] = json.loads(tokenizer.to_str())
    normalizers = {step["type"] for step in _steps(document["normalizer"], "normalizers")}
    splitters = {step["type"] for step in _steps(document["pre_tokenizer"], "pretokenizers")}
    model, strips = document["model"], any(each["lstrip"] or each["rstrip"] for each in document["added_tokens"])
    whole = model["type"] == "BPE" and (model.get("byte_fallback") or "ByteLevel" in normalizers | splitters)
    if strips or not whole or normalizers - {"Replace", "Prepend", "ByteLevel", "NFC"}:
        return None
    longest = max(len(token.encode()) for token in tokenizer.get_vocab())
    return longest * (NFC_SHRINKS if "NFC" in normalizers else 1)


def _steps(step: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if step is None:
        return []
    return [found for each in step[inner] for found in _steps(each, inner)] if step["type"] == "Sequence" else [step]
