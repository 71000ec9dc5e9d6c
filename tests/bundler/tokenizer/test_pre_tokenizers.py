"""Each family of models cuts text as llama.cpp cuts it: word_splits.json holds, for each set of patterns, the words of
some texts. They were recorded after comparing token ids with llama.cpp's own, on random text and on its vectors."""

import json
from pathlib import Path

import pytest
from tokenizers import Regex
from tokenizers.pre_tokenizers import PreTokenizer as Step
from tokenizers.pre_tokenizers import Sequence, Split

from sharkpack.bundler.tokenizer.pre_tokenizers import PRE_TOKENIZERS

RECORD = Path(__file__).with_name("word_splits.json")
SPLITS: dict[str, dict[str, list[str]]] = json.loads(RECORD.read_text("utf-8"))


def words(name: str, text: str) -> list[str]:
    cuts: list[Step] = [Split(Regex(pattern), "isolated") for pattern in PRE_TOKENIZERS[name].patterns]
    return [word for word, _ in Sequence(cuts).pre_tokenize_str(text)]


@pytest.mark.parametrize("name", SPLITS)
def test_text_is_cut_as_recorded(name: str) -> None:
    for text, expected in SPLITS[name].items():
        assert words(name, text) == expected


def test_every_set_of_patterns_is_recorded() -> None:
    recorded = {PRE_TOKENIZERS[name].patterns for name in SPLITS}
    assert {pre_tokenizer.patterns for pre_tokenizer in PRE_TOKENIZERS.values()} == recorded


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("gpt-2", "I've 1234 x", ["I", "'ve", " 1234", " x"]),
        ("smollm", "I've 1234 x", ["I", "'ve", " ", "1", "2", "3", "4", " x"]),
        ("llama-bpe", "I'VE 1234 x", ["I", "'VE", " ", "123", "4", " x"]),
        ("qwen2", "I'VE 12\n\n x", ["I", "'VE", " ", "1", "2", "\n\n", " x"]),
        ("tekken", "getURLNow", ["get", "URLNow"]),
        ("superbpe", "1234567", ["1", "234", "567"]),
    ],
)
def test_well_known_differences(name: str, text: str, expected: list[str]) -> None:
    assert words(name, text) == expected


def test_names_are_in_order_so_that_an_error_lists_them_so() -> None:
    assert list(PRE_TOKENIZERS) == sorted(PRE_TOKENIZERS)
