"""Vocabularies made by hand, as TokenizerSource values, for tests of one rule each."""

from pathlib import Path
from typing import Any

from sharkpack.bundler.sources import TokenizerSource
from tests.tiny_vocabularies import BYTE, NORMAL, byte_characters

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def source(**fields: Any) -> TokenizerSource:
    """A TokenizerSource with nothing in it but `fields`."""
    empty: dict[str, Any] = {
        "path": Path("model.gguf"),
        "model": "gpt2",
        "pre": None,
        "tokens": [],
        "scores": None,
        "token_types": None,
        "merges": None,
        "special_ids": {},
        "add_bos": None,
        "add_eos": None,
        "add_space_prefix": None,
        "chat_templates": {},
        "model_name": "",
    }
    return TokenizerSource(**empty | fields)


def byte_level(
    merges: list[str], extra: dict[str, int] | None = None, pre: str | None = "gpt-2", **fields: Any
) -> TokenizerSource:
    """All single bytes, what `merges` make, then the `extra` tokens with their types."""
    extra = extra or {}
    pieces = [*byte_characters(), *(merge.replace(" ", "") for merge in merges)]
    types = [NORMAL] * len(pieces) + list(extra.values())
    return source(tokens=[*pieces, *extra], token_types=types, merges=merges, pre=pre, **fields)


def scored(pieces: dict[str, float], extra: dict[str, int] | None = None, **fields: Any) -> TokenizerSource:
    """The `extra` tokens with their types, the byte tokens, then the scored `pieces`. No BOS unless asked for."""
    extra = extra or {}
    tokens = [*extra, *BYTES, *pieces]
    return source(
        model="llama",
        tokens=tokens,
        scores=[0.0] * (len(extra) + len(BYTES)) + list(pieces.values()),
        token_types=[*extra.values(), *[BYTE] * len(BYTES), *[NORMAL] * len(pieces)],
        **{"add_bos": False} | fields,
    )
