"""Tokens that a checkpoint adds to its tokenizer.model: in tokenizer_config.json, or in added_tokens.json of old."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sharkpack.bundler.sources.json_file import read_values
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.formats.errors import SharkpackError


def with_added_tokens(source: TokenizerSource, folder: Path) -> TokenizerSource:
    """The vocabulary with the tokens that come after it; SharkpackError when their ids leave a hole."""
    added = {index: token for index, token in _added(folder).items() if index >= len(source.tokens)}
    wanted = range(len(source.tokens), len(source.tokens) + len(added))
    if sorted(added) != list(wanted):
        raise SharkpackError(
            f"{folder}: {len(added)} tokens are added from id {min(added)}; expected all ids from {wanted[0]}"
        )
    tokens = [added[index] for index in wanted]
    return replace(
        source,
        tokens=[*source.tokens, *(text for text, _ in tokens)],
        scores=[*(source.scores or ()), *(0.0 for _ in tokens)],
        token_types=[*(source.token_types or ()), *(kind for _, kind in tokens)],
    )


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
