import pytest

from sharkpack.bundler.sources import TokenType
from sharkpack.bundler.tokenizer.vocabulary import END_TEXTS, read_vocabulary
from tests.bundler.tokenizer.sources import source
from tests.tiny_vocabularies import CONTROL, NORMAL, USER_DEFINED


def ends(*tokens: str, **special_ids: int) -> list[str]:
    vocabulary = read_vocabulary(source(tokens=tokens, special_ids=special_ids))
    return [tokens[index] for index in vocabulary.end_ids]


@pytest.mark.parametrize("text", END_TEXTS)
def test_a_token_that_ends_texts_by_its_name_is_found_and_made_special(text: str) -> None:
    vocabulary = read_vocabulary(source(tokens=["a", text], token_types=[NORMAL, NORMAL]))
    assert vocabulary.end_ids == (1,)
    assert vocabulary.kinds == [TokenType.NORMAL, TokenType.CONTROL]


def test_the_tokens_that_the_file_names_end_texts_too() -> None:
    assert ends("a", "b", "c", "d", "e", "f", eos=0, eot=1, eom=2, fim_pad=3, fim_rep=4, fim_sep=5) == list("abcdef")
    assert ends("a", "b", "c", bos=0, fim_pre=1, unknown=2) == []
    assert ends("a", eos=7) == []


def test_fill_in_tokens_are_found_by_name_where_the_file_does_not_name_them() -> None:
    assert ends("<|fim_pad|>", "<|fim_prefix|>", "<reponame>", "<|file_sep|>") == [
        "<|fim_pad|>",
        "<reponame>",
        "<|file_sep|>",
    ]
    assert ends("x", "<|fim_pad|>", fim_pad=0) == ["x"]
    assert ends("<PAD>", "<|fim_pad|>") == ["<|fim_pad|>"]
    vocabulary = read_vocabulary(source(tokens=["<PRE>"], token_types=[NORMAL]))
    assert vocabulary.kinds == [TokenType.CONTROL]


def test_end_does_not_end_where_return_and_call_do() -> None:
    assert ends("<|end|>") == ["<|end|>"]
    assert ends("<|end|>", "<|call|>") == ["<|end|>", "<|call|>"]
    assert ends("<|end|>", "<|return|>", "<|call|>") == ["<|return|>", "<|call|>"]
    assert ends("<|end|>", "<|flush|>", "<|calls|>") == ["<|flush|>", "<|calls|>"]
    vocabulary = read_vocabulary(source(tokens=["<|end|>", "<|return|>", "<|call|>", "<|start|>"], token_types=[3] * 4))
    assert vocabulary.kinds == [USER_DEFINED, CONTROL, CONTROL, USER_DEFINED]


def test_markup_that_looks_like_an_end_is_none() -> None:
    assert ends("</s>", "<|tool_response>") == ["<|tool_response>"]
    assert ends("</s>", "<|plamo:eos|>", eos=1) == ["<|plamo:eos|>"]
