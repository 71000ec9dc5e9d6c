"""The real vocabularies give llama.cpp's ids, string by string, and give the text back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from sharkpack.bundler.sources import open_source
from sharkpack.bundler.tokenizer import tokenizer_of
from tests.goldens import tokenized_strings_of

MODELS = {
    "smollm2-135m": {
        "add_bos": False,
        "bos": (1, "<|im_start|>"),
        "eos": (2, "<|im_end|>"),
        "ends": (0, 2, 4),
        "template": True,
    },
    "qwen2.5-coder-0.5b": {
        "add_bos": False,
        "bos": (151643, "<|endoftext|>"),
        "eos": (151645, "<|im_end|>"),
        "ends": (128247, 151643, 151645, 151662, 151663, 151664),
        "template": True,
    },
    "gemma3-270m": {
        "add_bos": True,
        "bos": (2, "<bos>"),
        "eos": (1, "<eos>"),
        "ends": (1, 106, 212),
        "template": False,
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_every_golden_string_has_llama_cpps_ids_and_comes_back(name: str, model_path: Callable[[str], Path]) -> None:
    with open_source(str(model_path(name))) as source:
        rebuilt = tokenizer_of(source.tokenizer)
    tokenizer = Tokenizer.from_buffer(rebuilt.json)
    for case in tokenized_strings_of(name):
        assert tokenizer.encode(case.text, add_special_tokens=False).ids == case.ids, case.text
        assert tokenizer.decode(case.ids, skip_special_tokens=False) == case.text
        assert tokenizer.encode(case.text).ids == case.ids  # nothing is added, whatever the caller asks
    expected = MODELS[name]
    assert rebuilt.add_bos is expected["add_bos"]
    assert rebuilt.add_eos is False
    assert (rebuilt.bos_token_id, rebuilt.bos_token) == expected["bos"]
    assert (rebuilt.eos_token_id, rebuilt.eos_token) == expected["eos"]
    assert rebuilt.end_token_ids == expected["ends"]
    assert (rebuilt.chat_template is not None) is expected["template"]


def test_the_same_vocabulary_gives_the_same_bytes(model_path: Callable[[str], Path]) -> None:
    with open_source(str(model_path("smollm2-135m"))) as source:
        assert tokenizer_of(source.tokenizer) == tokenizer_of(source.tokenizer)
