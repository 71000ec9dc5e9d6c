"""Tokens that a checkpoint adds to its tokenizer.model: in tokenizer_config.json, or in added_tokens.json of old."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sharkpack.bundler.sources.json_file import read_values
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.formats.errors import SharkpackError


def with_added_tokens(source: TokenizerSource, folder: Path) -> tuple[TokenizerSource, dict[int, str]]:
    """The vocabulary with the tokens that come after it, and those left out for want of a row of the embedding.

    An id between them that no token has becomes an unused token.
    """
    first = len(source.tokens)
    added = {index: token for index, token in sorted(_added(folder).items()) if index >= first}
    within = [index for index in added if source.rows is None or index < source.rows]
    tokens = [
        added.get(index, (f"[PAD{index}]", TokenType.UNUSED)) for index in range(first, max(within, default=-1) + 1)
    ]
    whole = replace(
        source,
        tokens=[*source.tokens, *(text for text, _ in tokens)],
        scores=[*(source.scores or ()), *(0.0 for _ in tokens)],
        token_types=[*(source.token_types or ()), *(kind for _, kind in tokens)],
    )
    return whole, {index: text for index, (text, _) in added.items() if index not in within}


def _added(folder: Path) -> dict[int, tuple[str, TokenType]]:
    """Text and kind by id."""
    found: dict[int, tuple[str, TokenType]] = {}
    for text, index in read_values(folder / "added_tokens.json", optional=True).values.items():
        if type(index) is not int:
            raise SharkpackError(f"{folder / 'added_tokens.json'}: '{text}' has the id {index!r}; expected an integer")
        found[index] = (text, TokenType.CONTROL)
    config = read_values(folder / "tokenizer_config.json", optional=True)
    decoder = config.values.get("added_tokens_decoder") or {}
    for index, token in decoder.items() if isinstance(decoder, Mapping) else ():
        content = token.get("content") if isinstance(token, Mapping) else None
        if not index.isdecimal() or not isinstance(content, str):
            raise SharkpackError(f"{config.path}: 'added_tokens_decoder' has {index!r}: {token!r}; expected a token")
        special = token.get("special") is True
        found[int(index)] = (content, TokenType.CONTROL if special else TokenType.USER_DEFINED)
    return found
