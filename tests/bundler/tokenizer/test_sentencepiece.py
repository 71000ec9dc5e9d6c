import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.sources import TokenizerSource
from sharkpack.bundler.tokenizer import rebuild_tokenizer
from sharkpack.formats.errors import SharkpackError
from tests.bundler.tokenizer.sources import BYTES, scored, source
from tests.tiny_vocabularies import CONTROL, UNKNOWN, USER_DEFINED

SPACE = "\u2581"
LETTERS = {SPACE: -90.0, "a": -91.0, "b": -92.0, "c": -93.0}
SPECIAL = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL}


def load(vocabulary: TokenizerSource) -> Tokenizer:
    return Tokenizer.from_buffer(rebuild_tokenizer(vocabulary).json)


def tokens(vocabulary: TokenizerSource, text: str) -> list[str]:
    result: list[str] = load(vocabulary).encode(text, add_special_tokens=False).tokens
    return result


def test_the_best_score_joins_first_then_the_leftmost() -> None:
    vocabulary = scored({"ab": -2.0, "bc": -1.0, "aa": -3.0} | LETTERS, add_space_prefix=False)
    assert tokens(vocabulary, "abc") == ["a", "bc"]
    assert tokens(vocabulary, "aaa") == ["aa", "a"]


def test_any_two_neighbours_join_whatever_the_way_to_cut_their_union() -> None:
    # "abc" can be cut as ab+c and a+bc; alone its text goes through "bc", so only a+bc ever makes it.
    vocabulary = scored({"ab": -2.0, "bc": -1.0, "abc": -3.0} | LETTERS, add_space_prefix=False)
    assert tokens(vocabulary, "abc") == ["abc"]
    assert tokens(vocabulary, "abcc") == ["abc", "c"]


def test_runs_of_spaces_with_equal_scores_grow_from_the_left() -> None:
    runs = {SPACE * length: -1000.0 for length in range(2, 6)}
    vocabulary = scored(LETTERS | runs, add_space_prefix=False)
    assert tokens(vocabulary, " " * 5) == [SPACE * 5]
    assert tokens(vocabulary, " " * 7) == [SPACE * 5, SPACE * 2]


def test_unknown_letters_become_bytes_and_come_back() -> None:
    tokenizer = load(scored(LETTERS, add_space_prefix=False))
    text = "aé日😀 \n"
    encoding = tokenizer.encode(text, add_special_tokens=False)
    assert encoding.tokens[:3] == ["a", "<0xC3>", "<0xA9>"]
    assert encoding.tokens[-2:] == [SPACE, "<0x0A>"]
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("flag", [None, True])
def test_a_space_goes_before_the_text_and_after_special_tokens(flag: bool | None) -> None:
    vocabulary = scored(LETTERS, SPECIAL, add_space_prefix=flag)
    assert tokens(vocabulary, "a<s>b") == [SPACE, "a", "<s>", SPACE, "b"]
    assert tokens(vocabulary, "<s></s>") == ["<s>", "</s>"]
    assert tokens(vocabulary, "") == []
    tokenizer = load(vocabulary)
    assert tokenizer.decode(tokenizer.encode(" a b", add_special_tokens=False).ids) == " a b"


def test_no_space_is_added_where_the_file_says_so() -> None:
    vocabulary = scored(LETTERS, SPECIAL, add_space_prefix=False)
    assert tokens(vocabulary, "a<s>b") == ["a", "<s>", "b"]


def test_user_defined_runs_are_found_as_they_stand_in_the_text() -> None:
    extra = {"  ": USER_DEFINED, "   ": USER_DEFINED, "\n\n": USER_DEFINED}
    tokenizer = load(scored(LETTERS, extra, add_space_prefix=False))
    encoding = tokenizer.encode("a   \n\n  b c", add_special_tokens=False)
    assert encoding.tokens == ["a", "   ", "\n\n", "  ", "b", SPACE, "c"]
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == "a   \n\n  b c"


def test_a_special_token_behind_a_space_is_reached_by_merging() -> None:
    # It stands for " c" in the vocabulary's own letters, so it is never found in the raw text.
    vocabulary = scored(LETTERS, {f"{SPACE}c": CONTROL}, add_space_prefix=False)
    assert tokens(vocabulary, "a c") == ["a", f"{SPACE}c"]


def test_a_merge_through_a_letter_that_is_no_token_is_left_out() -> None:
    assert tokens(scored(LETTERS | {"aé": -1.0}, add_space_prefix=False), "aé") == ["a", "<0xC3>", "<0xA9>"]


def test_bos_is_added_unless_the_file_says_not_to() -> None:
    rebuilt = rebuild_tokenizer(scored(LETTERS, SPECIAL, add_bos=None))
    assert (rebuilt.add_bos, rebuilt.add_eos) == (True, False)
    assert (rebuilt.bos_token_id, rebuilt.bos_token) == (1, "<s>")
    assert (rebuilt.eos_token_id, rebuilt.eos_token) == (2, "</s>")
    assert rebuild_tokenizer(scored(LETTERS, SPECIAL, add_bos=False)).add_bos is False


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        (
            source(model="llama", tokens=["a"], add_bos=False),
            "a SentencePiece vocabulary without 'tokenizer.ggml.scores'",
        ),
        (
            source(model="llama", tokens=["a", *BYTES[:10], *BYTES[11:]], scores=[0.0] * 256, add_bos=False),
            "a SentencePiece vocabulary without the byte token <0x0A>",
        ),
    ],
)
def test_what_cannot_be_rebuilt_is_refused(vocabulary: TokenizerSource, message: str) -> None:
    with pytest.raises(SharkpackError) as caught:
        rebuild_tokenizer(vocabulary)
    assert str(caught.value) == f"model.gguf: {message}"
