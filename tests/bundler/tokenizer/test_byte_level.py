import dataclasses
from typing import Any

import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.sources import TokenizerSource
from sharkpack.bundler.tokenizer import rebuild_tokenizer
from sharkpack.formats.errors import SharkpackError
from tests.bundler.tokenizer.sources import byte_level, source
from tests.tiny_vocabularies import CONTROL, NORMAL, UNUSED, USER_DEFINED


def load(vocabulary: TokenizerSource) -> Tokenizer:
    return Tokenizer.from_buffer(rebuild_tokenizer(vocabulary).json)


def tokens(vocabulary: TokenizerSource, text: str) -> list[str]:
    result: list[str] = load(vocabulary).encode(text, add_special_tokens=False).tokens
    return result


def test_merges_apply_in_the_files_order_within_words() -> None:
    vocabulary = byte_level(["b c", "a b", "a bc", "Ġ a"])
    assert tokens(vocabulary, "abc ab a") == ["abc", "Ġ", "ab", "Ġa"]
    assert tokens(vocabulary, "a bc") == ["a", "Ġ", "bc"]


def test_a_word_that_is_a_token_is_taken_whole_where_the_pre_tokenizer_says_so() -> None:
    vocabulary = byte_level(["b c", "a b"], {"abcd": NORMAL})
    assert tokens(vocabulary, "abcd") == ["a", "bc", "d"]
    assert tokens(dataclasses.replace(vocabulary, pre="glm4"), "abcd") == ["abcd"]


def test_text_is_not_normalised_and_every_byte_comes_back() -> None:
    tokenizer = load(byte_level([]))
    for text in ("é", "e\u0301", "\ufb01 \u00a0\u3000\x00\x7f", "😀", " \r\n\t "):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert len(ids) == len(text.encode())
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_special_tokens_in_the_text_are_recognised_before_it_is_cut() -> None:
    extra = {"<|end_x|>": CONTROL, "<tool>": USER_DEFINED, "<spare>": UNUSED, "a b": USER_DEFINED}
    vocabulary = byte_level([], extra)
    assert tokens(vocabulary, "x<|end_x|><tool>a by") == ["x", "<|end_x|>", "<tool>", "a b", "y"]
    assert len(tokens(vocabulary, "<spare>")) == len("<spare>")
    tokenizer = load(vocabulary)
    ids = tokenizer.encode("x<|end_x|><tool>", add_special_tokens=False).ids
    assert tokenizer.decode(ids) == "x<tool>"  # only the control token is special


def test_the_longest_special_token_wins() -> None:
    vocabulary = byte_level([], {"\n\n": USER_DEFINED, "\n\n\n": USER_DEFINED})
    assert tokens(vocabulary, "\n\n\n\n\nx") == ["\n\n\n", "\n\n", "x"]


def test_a_missing_pre_tokenizer_is_the_default_one() -> None:
    assert tokens(byte_level(["1 2", "12 3", "123 4"], pre=None), "1234") == ["123", "4"]
    assert tokens(byte_level(["1 2", "12 3", "123 4"], pre="gpt-2"), "1234") == ["1234"]
    assert tokens(byte_level(["1 2", "12 3", "123 4"], pre="smollm"), "1234") == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("pre", "flag", "expected"),
    [
        ("gpt-2", None, False),
        ("qwen2", None, False),
        ("llama-bpe", None, True),
        ("tekken", None, True),
        ("llama-bpe", False, False),
        ("gpt-2", True, True),
    ],
)
def test_bos_is_added_as_the_file_or_else_the_pre_tokenizer_says(pre: str, flag: bool | None, expected: bool) -> None:
    vocabulary = byte_level([], {"<s>": CONTROL}, pre=pre, add_bos=flag, special_ids={"bos": 256})
    rebuilt = rebuild_tokenizer(vocabulary)
    assert (rebuilt.add_bos, rebuilt.bos_token_id, rebuilt.bos_token) == (expected, 256, "<s>")
    assert rebuilt.add_eos is False
    assert rebuild_tokenizer(
        dataclasses.replace(vocabulary, add_eos=True, special_ids={"bos": 256, "eos": 256})
    ).add_eos


def test_default_ids_hold_only_for_control_tokens() -> None:
    assert rebuild_tokenizer(byte_level([])).bos_token_id is None
    types = [NORMAL] * 256
    types[11] = CONTROL
    rebuilt = rebuild_tokenizer(dataclasses.replace(byte_level([]), token_types=types))
    assert (rebuilt.bos_token_id, rebuilt.eos_token_id, rebuilt.end_token_ids) == (11, 11, (11,))


def test_special_ids_outside_the_vocabulary_mean_none() -> None:
    rebuilt = rebuild_tokenizer(byte_level([], special_ids={"bos": 2**32 - 1, "eos": 256}))
    assert (rebuilt.bos_token_id, rebuilt.eos_token_id) == (None, None)


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (byte_level([], pre="klingon"), "the pre-tokenizer 'klingon' is not supported; supported: a.x-4.0, afmoe, "),
        (source(model="bert"), "tokenizers of the kind 'bert' are not supported; supported: gpt2, llama"),
        (source(model="t5"), "tokenizers of the kind 't5' are not supported"),
        (source(model="rwkv"), "tokenizers of the kind 'rwkv' are not supported"),
        (source(tokens=["a"]), "a byte-level vocabulary without 'tokenizer.ggml.merges'; convert it again"),
        (source(tokens=["a", "b", "a"], merges=[]), "two tokens of the vocabulary have the text 'a'"),
        (source(tokens=["a", "b"], merges=["a b"]), "the merge 'a b' does not join two tokens of the vocabulary"),
        (source(tokens=["a", "b"], merges=["ab"]), "the merge 'ab' does not join two tokens of the vocabulary"),
        (byte_level([], add_bos=True), "the tokenizer adds a BOS token, but names none"),
        (byte_level([], add_eos=True), "the tokenizer adds a EOS token, but names none"),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(vocabulary: TokenizerSource, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        rebuild_tokenizer(vocabulary)
    assert str(caught.value).startswith(f"model.gguf: {message}")


def test_empty_tokens_get_a_text_of_their_own() -> None:
    vocabulary: Any = dataclasses.replace(byte_level([], {"": UNUSED}))
    assert load(vocabulary).id_to_token(256) == "[EMPTY_256]"


def test_phi_3_swallows_the_space_after_its_special_tokens() -> None:
    vocabulary = byte_level([], {"<|end_x|>": CONTROL, "<s>": CONTROL}, model_name="Phi-3 mini")
    ids = load(vocabulary).encode("<|end_x|> \nx<s> ", add_special_tokens=False).ids
    assert ids == [256, ord("x"), 257, ord(" ")]
