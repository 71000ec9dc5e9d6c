"""Texts that are far too long: refused by what was looked at, which is little; others are always counted."""

import json
from typing import Any

import pytest
from tokenizers import Tokenizer

from sharkpack.runtime_shim import ContextExceededError
from sharkpack.runtime_shim.text import length
from sharkpack.runtime_shim.text.length import PIECE, has_more_tokens, longest_token
from tests.runtime_shim.conftest import OpenFake
from tests.runtime_shim.toy_language import CHAT_TEMPLATE, CONTEXT, toy_tokenizer

LONG = 20_000_000


class Counting:
    """A tokenizer that counts the characters that it is asked to tokenise."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self.characters = 0

    def encode(self, text: str, **options: Any) -> Any:
        self.characters += len(text)
        return self._tokenizer.encode(text, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


@pytest.mark.parametrize("unit", ["word ", "a", " ", "\n", "夏", "a b\n", "<turn>"])
def test_a_text_far_too_long_is_hardly_looked_at(unit: str) -> None:
    counting: Any = Counting(toy_tokenizer())
    text = unit * (LONG // len(unit))
    assert has_more_tokens(counting, text, 4000)
    assert counting.characters <= 4 * PIECE


@pytest.mark.parametrize("form", ["text", "messages"])
def test_a_prompt_far_too_long_says_the_numbers(
    open_fake: OpenFake, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    engine, _ = open_fake(chat_template=CHAT_TEMPLATE)
    counting = Counting(engine.bundle.tokenizer)
    monkeypatch.setattr(engine.bundle, "_tokenizer", counting)
    prompt: Any = "word " * (LONG // 5) if form == "text" else [{"role": "user", "content": "word " * (LONG // 5)}]
    said = rf"the prompt is more than {CONTEXT} tokens \(200000\d\d characters\) and the context {CONTEXT}: shorten"
    with pytest.raises(ContextExceededError, match=said) as caught:
        engine.generate(prompt)
    assert caught.value.tokens > CONTEXT
    assert caught.value.context_length == CONTEXT
    assert counting.characters <= 2 * PIECE


def test_long_tokens_are_bounded_by_their_bytes() -> None:
    """16 spaces a token: many characters fit, and a text that the longest tokens could not hold is not looked at."""
    tokenizer = _with(toy_tokenizer(), {"Ġ" * 2**n: 300 + n for n in range(1, 5)})
    assert longest_token(tokenizer) == 32
    limit = 20_000
    counting: Any = Counting(tokenizer)
    assert has_more_tokens(counting, " " * (limit * 33), limit)
    assert counting.characters <= 8 * limit + PIECE
    assert not has_more_tokens(tokenizer, " " * (limit * 16), limit)
    assert len(tokenizer.encode(" " * (limit * 16)).ids) == limit


def test_what_fits_is_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, a text of just as many tokens as fit is let through, and one of many more is not."""
    monkeypatch.setattr(length, "PIECE", 500)
    tokenizer = _with(toy_tokenizer(), {"Ġ" * 2**n: 300 + n for n in range(1, 7)})
    for text in (" " * 64 * 300, "a" * 3000, "word  \n" * 500, ("x" + " " * 127) * 60):
        tokens = len(tokenizer.encode(text).ids)
        assert not has_more_tokens(tokenizer, text, tokens)
        assert not has_more_tokens(tokenizer, text, tokens + 1)
        assert has_more_tokens(tokenizer, text * 40, tokens)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["added_tokens"][0].update(rstrip=True),
        lambda document: document.update(pre_tokenizer=None),
        lambda document: document.update(normalizer={"type": "Lowercase"}),
        lambda document: document.update(normalizer={"type": "Sequence", "normalizers": [{"type": "StripAccents"}]}),
    ],
)
def test_tokens_without_a_bound_are_not_given_one(change: Any) -> None:
    document = json.loads(toy_tokenizer().to_str())
    change(document)
    assert longest_token(Tokenizer.from_str(json.dumps(document))) is None


def test_composition_makes_fewer_bytes() -> None:
    document = json.loads(toy_tokenizer().to_str())
    bound = longest_token(toy_tokenizer())
    document["normalizer"] = {"type": "NFC"}
    assert bound is not None
    assert longest_token(Tokenizer.from_str(json.dumps(document))) == 3 * bound


def _with(tokenizer: Tokenizer, tokens: dict[str, int]) -> Tokenizer:
    """The tokenizer with tokens that double one another."""
    document = json.loads(tokenizer.to_str())
    document["model"]["vocab"] |= tokens
    document["model"]["merges"] += [[token[: len(token) // 2]] * 2 for token in tokens]
    return Tokenizer.from_str(json.dumps(document))
