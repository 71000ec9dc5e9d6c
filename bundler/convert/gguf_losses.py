"""Finds what a checkpoint's tokenizer says and the GGUF file made of it does not: by making the tokenizer of the file
anew, as llama.cpp would, and holding it against the checkpoint's."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import read_tokenizer_source
from sharkpack.bundler.tokenizer import SPECIAL_NAMES, RebuiltTokenizer, rebuild_tokenizer
from sharkpack.formats.errors import SharkpackError

ORDINARY = (
    "Hello world",
    "The quick brown fox jumps over the lazy dog, 3 times.",
    "don't we'll I'm she's",
    'x = 12345 + 67.8;\n\tif (a != b) { return f("q"); }\n\n',
    "  two  spaces ",
    "UPPER Lower camelCase snake_case",
)
"""Texts that every tokenizer has to cut as its model was trained."""
UNUSUAL = (
    "Gr\u00f6\u00dfe caf\u00e9",
    "e\u0301 \ufb01 \uff21",
    "\u65e5\u672c\u8a9e",
    "\u041f\u0440\u0418\u0432\u0415\u0442",
    "\U0001f600\u200d",
)
WORDS = 2000
FLAGS = ("lstrip", "rstrip", "single_word")
SHOWN = 4

_SPACES_AS_LETTERS = {"Prepend", "Replace"}


def gguf_losses(files: TokenizerFiles, tokenizer: RebuiltTokenizer, keys: Mapping[str, Any]) -> Iterator[str]:
    """Returns what the GGUF `keys` lose of the `tokenizer` of `files`, a sentence each.

    Raises SharkpackError where ordinary text would become other tokens.
    """
    made = rebuild_tokenizer(read_tokenizer_source(Metadata(path=files.folder, values=keys), files.rows))
    document, now = json.loads(tokenizer.json), json.loads(made.json)
    ours, theirs = Tokenizer.from_buffer(tokenizer.json), Tokenizer.from_buffer(made.json)
    _check_ordinary(files, ours, theirs)
    known = [*_lost_flags(document, now), *_lost_normalizer(document, scored="tokenizer.ggml.scores" in keys)]
    yield from known or _other_ids(document, ours, theirs)
    ends = [end for end in tokenizer.end_token_ids if end not in made.end_token_ids]
    if ends:
        listed = _listed(ours.id_to_token(end) or str(end) for end in ends)
        yield f"GGUF has no key for further tokens that end a text: it does not end at {listed}"
    yield from _lost_names(tokenizer)


def _check_ordinary(files: TokenizerFiles, ours: Tokenizer, theirs: Tokenizer) -> None:
    vocabulary = sorted(ours.get_vocab(with_added_tokens=False).values())
    words = (ours.decode([index]) for index in vocabulary[:: max(len(vocabulary) // WORDS, 1)])
    for text in (*ORDINARY, *(word for word in words if word.isascii() and word.strip().isalnum())):
        here, there = _ids(ours, text), _ids(theirs, text)
        if here != there:
            raise SharkpackError(
                f"{files.folder}: GGUF cannot say how its tokenizer cuts text: {text!r} becomes {here[:8]}, and from "
                f"a GGUF file {there[:8]}; convert to .irpa, which has no tokenizer, or start from a GGUF file of it"
            )


def _lost_flags(document: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    made = {token["id"]: token for token in now["added_tokens"]}
    flags = (*FLAGS, "normalized") if document.get("normalizer") else FLAGS
    for flag in flags:
        lost = [
            token["content"]
            for token in document.get("added_tokens") or ()
            if bool(token.get(flag)) != bool(made.get(token["id"], {}).get(flag))
        ]
        if lost:
            yield f"GGUF has no key for '{flag}' of added tokens, which is lost for {_listed(lost)}"


def _lost_normalizer(document: Mapping[str, Any], *, scored: bool) -> Iterator[str]:
    normalizer = document.get("normalizer") or {}
    kinds = {step["type"] for step in (normalizer, *normalizer.get("normalizers", ())) if "type" in step}
    lost = sorted(kinds - {"Sequence"} - (_SPACES_AS_LETTERS if scored else set()))
    if lost:
        yield f"GGUF has no key for the normalizer {', '.join(lost)}: text that it would change becomes other tokens"


def _other_ids(document: Mapping[str, Any], ours: Tokenizer, theirs: Tokenizer) -> Iterator[str]:
    """For what no rule here has a name for."""
    tokens = [token["content"] for token in document.get("added_tokens") or ()][:SHOWN]
    around = [text for token in tokens for text in (f"a{token}b", f"a {token} b", f"{token}{token} b")]
    for what, texts in (("text", UNUSUAL), ("what stands beside an added token", around)):
        other = next((text for text in texts if _ids(ours, text) != _ids(theirs, text)), None)
        if other is not None:
            yield f"GGUF cannot say how {what} such as {other!r} is cut: from the file it becomes other tokens"


def _lost_names(tokenizer: RebuiltTokenizer) -> Iterator[str]:
    """Names of tokens that a template writes, and a GGUF file has no key for."""
    kept = {"bos_token", "eos_token", *SPECIAL_NAMES.values()}
    written = "".join(tokenizer.chat_templates.values())
    lost = [name for name in tokenizer.special_tokens if name not in kept and name in written]
    if lost:
        yield f"GGUF has no key for tokens that the chat template names: {_listed(lost)} will be empty"


def _ids(tokenizer: Tokenizer, text: str) -> Sequence[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def _listed(texts: Any) -> str:
    texts = list(texts)
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(map(repr, texts[:SHOWN])) + more
