"""From token ids to text, a token at a time and never half a character. Knows the decoders of byte-level and of
SentencePiece-style vocabularies; works on bytes, so that a character split over tokens comes out whole."""

import codecs
import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sharkpack.runtime_shim.errors import BundleUnsupportedError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """The bytes of each token, read from a tokenizer as they are needed. One a bundle: sequences share it."""

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._byte_level, self._replacements, self._byte_fallback = _decoder_rules(tokenizer.decoder)
        self._added = tokenizer.get_added_tokens_decoder()
        self._known: dict[int, bytes] = {}
        self._special = {index: token.content for index, token in self._added.items() if token.special}

    def piece(self, token_id: int) -> bytes:
        """Returns what the token adds to the text: nothing for special tokens and for ids without an entry."""
        piece = self._known.get(token_id)
        if piece is None:
            piece = self._known[token_id] = self._read(token_id)
        return piece

    def special_text(self, token_id: int) -> str:
        """The text by which a special token is known, which it does not print; "" for other tokens."""
        return self._special.get(token_id, "")

    def spells_special(self, text: str) -> bool:
        """Returns whether a special token's text is part of `text`."""
        return any(special in text for special in self._special.values())

    def _read(self, token_id: int) -> bytes:
        added = self._added.get(token_id)
        if added is not None and added.special:
            return b""
        text = self._tokenizer.id_to_token(token_id)
        if text is None:
            return b""
        if self._byte_level:
            return text.encode() if added is not None else _from_byte_level(text)
        byte = _BYTE_TOKEN.fullmatch(text) if self._byte_fallback else None
        if byte:
            return bytes.fromhex(byte[1])
        for old, new in self._replacements:
            text = text.replace(old, new)
        return text.encode()


def decode(vocabulary: Vocabulary, token_ids: Iterable[int]) -> str:
    """The text of tokens that are all there, with U+FFFD for bytes that are no UTF-8."""
    return b"".join(map(vocabulary.piece, token_ids)).decode("utf-8", errors="replace")


class Detokenizer:
    """The text of one sequence as its tokens come: O(1) a token."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._unfinished = False

    def push(self, token_id: int) -> str:
        """The text that this token completes; "" while a character is unfinished."""
        piece = self._vocabulary.piece(token_id)
        if piece.isascii() and not self._unfinished:
            return piece.decode("ascii")
        text = self._decoder.decode(piece)
        self._unfinished = bool(self._decoder.getstate()[0])
        return text

    def finish(self) -> str:
        """The replacement character for a character that was never finished, or ""."""
        return self._decoder.decode(b"", final=True)


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's letters for bytes: printable ones stand for themselves, the others begin at U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


_ALPHABET = _byte_alphabet()


def _from_byte_level(text: str) -> bytes:
    try:
        return bytes([_ALPHABET[character] for character in text])
    except KeyError:  # not written in the alphabet: a token that stands for its own text
        return text.encode()


def _decoder_rules(decoder: Any) -> tuple[bool, list[tuple[str, str]], bool]:
    """(is it byte-level, replacements in order, are there <0xNN> tokens). Raises SharkpackError for other decoders.

    A leading space is never stripped, whatever the decoder says: the text goes on from a prompt.
    """
    rules = json.loads(decoder.__getstate__()) if decoder is not None else {"type": "none"}
    steps = rules.get("decoders", [rules])
    kinds = [step["type"] for step in steps]
    replacements = [_replacement(step) for step in steps if step["type"] in ("Replace", "Metaspace")]
    if "ByteLevel" in kinds and not replacements:
        return True, [], False
    if replacements and not set(kinds) - {"Replace", "Metaspace", "ByteFallback", "Fuse", "Strip"}:
        return False, replacements, "ByteFallback" in kinds
    raise BundleUnsupportedError(
        f"the bundle's tokenizer has a decoder that this version does not know: {', '.join(kinds)}"
    )


def _replacement(step: dict[str, Any]) -> tuple[str, str]:
    if step["type"] == "Metaspace":
        return step["replacement"], " "
    if "String" not in step["pattern"]:
        raise BundleUnsupportedError(
            "the bundle's tokenizer has a decoder that this version does not know: Replace by a regex"
        )
    return step["pattern"]["String"], step["content"]
