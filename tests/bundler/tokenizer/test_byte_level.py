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
    """-1 says so itself; another id that is left out is told of."""
    rebuilt = rebuild_tokenizer(byte_level([], special_ids={"bos": 2**32 - 1, "eos": 256}))
    assert (rebuilt.bos_token_id, rebuilt.eos_token_id) == (None, None)
    assert rebuilt.notes == ("the eos token's id 256 is outside the vocabulary of 256: it is left out",)


@pytest.mark.parametrize("name", ["bos", "eos"])
def test_a_token_that_is_to_be_added_and_is_not_there_is_not_added(name: str) -> None:
    rebuilt = rebuild_tokenizer(dataclasses.replace(byte_level([]), **{f"add_{name}": True}))  # type: ignore[arg-type]
    assert (rebuilt.add_bos, rebuilt.add_eos) == (False, False)
    assert rebuilt.notes == (f"'add_{name}_token' is true and there is no {name.upper()} token: none is added",)


def test_of_two_tokens_with_one_text_the_last_is_used() -> None:
    twice = byte_level(["a b"], {"<pad>": UNUSED, "<end>": CONTROL})
    twice = dataclasses.replace(
        twice, tokens=[*twice.tokens, "<pad>", "ab"], token_types=[*_types(twice), UNUSED, NORMAL]
    )
    rebuilt = rebuild_tokenizer(twice)
    size = len(twice.tokens)
    assert Tokenizer.from_buffer(rebuilt.json).encode("ab<end>").ids == [size - 1, 258]
    assert rebuilt.notes[0].startswith(f"the tokens 256 and {size - 1} have one text, 'ab': it becomes the latter")
    control = byte_level([], {"<end>": CONTROL, "<x>": CONTROL})
    control = dataclasses.replace(control, tokens=[*control.tokens[:-1], "<end>"])
    assert Tokenizer.from_buffer(rebuild_tokenizer(control).json).encode("<end>").ids == [257]


def _types(vocabulary: TokenizerSource) -> list[int]:
    return list(vocabulary.token_types or ())


def test_tokens_without_an_embedding_are_left_out() -> None:
    """Those that no text becomes: added ones, and others that no merge makes."""
    extra = {"<end>": CONTROL, "<image>": CONTROL, "spare": NORMAL}
    given = byte_level(["a b"], extra, special_ids={"eos": 257, "padding": 258})
    rebuilt = rebuild_tokenizer(dataclasses.replace(given, rows=258))
    tokenizer = Tokenizer.from_buffer(rebuilt.json)
    assert max(tokenizer.get_vocab().values()) == 257
    assert max(tokenizer.encode("ab<end><image>spare").ids) == 257
    assert rebuilt.end_token_ids == (257,)
    assert rebuilt.notes[0] == (
        "the model has no embedding for the tokens '<image>' (258), 'spare' (259): they are left out of the tokenizer"
    )


def test_names_that_templates_write() -> None:
    given = byte_level([], {"<s>": CONTROL, "<pad>": CONTROL, "[M]": CONTROL})
    ids = {"bos": 256, "padding": 257, "mask": 258}
    assert rebuild_tokenizer(dataclasses.replace(given, special_ids=ids)).special_tokens == {
        "bos_token": "<s>",
        "eos_token": "",
        "pad_token": "<pad>",
        "mask_token": "[M]",
    }


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (byte_level([], pre="klingon"), "the pre-tokenizer 'klingon' is not supported; supported: a.x-4.0, afmoe, "),
        (source(model="bert"), "tokenizers of the kind 'bert' are not supported; supported: gpt2, llama"),
        (source(model="t5"), "tokenizers of the kind 't5' are not supported"),
        (source(model="rwkv"), "tokenizers of the kind 'rwkv' are not supported"),
        (source(tokens=["a"]), "a byte-level vocabulary without 'tokenizer.ggml.merges'; convert it again"),
        (source(tokens=["a", "b"], merges=["a b"]), "the merge 'a b' does not join two tokens of the vocabulary"),
        (source(tokens=["a", "b"], merges=["ab"]), "the merge 'ab' does not join two tokens of the vocabulary"),
        (
            dataclasses.replace(byte_level(["a b"]), rows=256),
            "the tokenizer has 257 tokens, and the model embeddings f",
        ),
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
