"""Tokens that a model has no row of its embedding for: it cannot make them, and must not be given them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sharkpack.formats.errors import SharkpackError

SHOWN = 4


def within_rows(path: Path, document: dict[str, Any], rows: int) -> tuple[dict[str, Any], dict[int, str]]:
    """A tokenizer.json without the tokens whose ids are `rows` or more, and these.

    Only tokens that no text is cut into can be left out: added ones, and those of a BPE vocabulary that no merge
    makes. Raises SharkpackError for others.
    """
    model, added = document["model"], document.get("added_tokens") or []
    beyond = {token["id"]: token["content"] for token in added if token["id"] >= rows}
    listed = not isinstance(model.get("vocab"), dict)  # of a Unigram model: pieces, whose places are their ids
    ids = {piece[0]: index for index, piece in enumerate(model["vocab"])} if listed else model["vocab"]
    rowless = {text: index for text, index in ids.items() if index >= rows}
    if not beyond and not rowless:
        return document, {}
    needed = rowless.keys() - set(beyond.values())
    if model.get("type") == "BPE" and not model.get("ignore_merges"):
        needed &= cut_into(model.get("merges", ())) | {text for text in needed if len(text) == 1}
    if needed or len(rowless) == len(ids):
        raise too_many(path, 1 + max(ids.values(), default=0), rows)
    kept = model["vocab"][:rows] if listed else {text: index for text, index in ids.items() if index < rows}
    remaining = [token for token in added if token["id"] < rows]
    left_out = beyond | {index: text for text, index in rowless.items()}
    return {**document, "added_tokens": remaining, "model": {**model, "vocab": kept}}, left_out


def too_many(path: Path, tokens: int, rows: int) -> SharkpackError:
    """The refusal of a vocabulary that is not the model's."""
    return SharkpackError(f"{path}: the tokenizer has {tokens} tokens, and the model embeddings for {rows}")


def rowless_note(left_out: Mapping[int, str]) -> str:
    """Returns the note on tokens that were left out."""
    shown = [f"{text!r} ({index})" for index, text in sorted(left_out.items())[:SHOWN]]
    more = f" and {len(left_out) - SHOWN} more" if len(left_out) > SHOWN else ""
    return f"the model has no embedding for the tokens {', '.join(shown)}{more}: they are left out of the tokenizer"


def cut_into(merges: Iterable[Any]) -> set[str]:
    """All that merges join and make, of merges as pairs or as "left right"."""
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in merges)
    return {text for pair in pairs for text in (*pair, "".join(pair))}
