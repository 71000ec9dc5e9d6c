"""Text that goes in through a real bundle becomes the reference's token ids; template, BOS and all."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from sharkpack.runtime_shim import Bundle, Engine
from tests.end_to_end.command_line import sharkpack
from tests.goldens import prompts_of, tokenized_strings_of

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m")
QUESTION = "What is the capital of France?"


@pytest.mark.parametrize("name", MODELS)
def test_prompts_have_the_ids_of_the_reference(name: str, real_bundle: Callable[..., Path]) -> None:
    with Engine.open(real_bundle(name)) as engine:
        for prompt in prompts_of(name):
            if prompt.name == "chat":
                assert QUESTION in prompt.text
                assert list(engine.encode(QUESTION)) == prompt.prompt_ids
                assert list(engine.encode([{"role": "user", "content": QUESTION}])) == prompt.prompt_ids
            else:
                assert list(engine.encode(prompt.text, raw=True)) == prompt.prompt_ids


@pytest.mark.parametrize("name", MODELS)
def test_the_tokenizer_in_the_bundle_is_llama_cpps(name: str, real_bundle: Callable[..., Path]) -> None:
    with Bundle.open(real_bundle(name)) as bundle:
        tokenizer: Tokenizer = bundle.tokenizer
        for case in tokenized_strings_of(name):
            assert tokenizer.encode(case.text, add_special_tokens=False).ids == case.ids
            assert tokenizer.decode(case.ids, skip_special_tokens=False).encode() == case.text.encode()


def test_the_command_line_has_them_too(real_bundle: Callable[..., Path]) -> None:
    expected = {prompt.name: prompt.prompt_ids for prompt in prompts_of("smollm2-135m")}
    bundle = real_bundle("smollm2-135m")

    def prompt_ids(*arguments: str) -> list[int]:
        ids: list[int] = json.loads(sharkpack("run", bundle, *arguments, "--max-tokens", "1", "--json").out)[
            "prompt_ids"
        ]
        return ids

    assert prompt_ids(QUESTION) == expected["chat"]
    assert prompt_ids("The capital of France is", "--raw") == expected["plain"]
