"""Prompts computed together say what each says alone: the batch sizes of a bundle change speed, not words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Engine

PROMPTS = (
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a small village by the sea, there lived",
    "1, 2, 3, 4,",
    "Water boils at",
)


@pytest.fixture(scope="module")
def alone(real_bundle: Callable[..., Path]) -> list[tuple[int, ...]]:
    with Engine.open(real_bundle("smollm2-135m")) as engine:
        assert generate_signature(engine.bundle.manifest.signature).batch_sizes == (1, 4)
        return [engine.generate(prompt, max_tokens=12, raw=True).result().token_ids for prompt in PROMPTS]


@pytest.mark.parametrize("count", [2, 4, 5])
def test_a_batch_says_what_each_prompt_says_alone(
    count: int, alone: list[tuple[int, ...]], real_bundle: Callable[..., Path]
) -> None:
    with Engine.open(real_bundle("smollm2-135m")) as engine:
        completions = engine.batch(PROMPTS[:count], max_tokens=12, raw=True)
    assert [completion.token_ids for completion in completions] == alone[:count]
    assert [completion.text for completion in completions] != [""] * count


def test_a_long_prompt_in_chunks_is_the_same_as_whole(real_bundle: Callable[..., Path]) -> None:
    prompt = " ".join(PROMPTS) * 4
    answers = []
    for chunk in (16, 512):
        with Engine.open(real_bundle("smollm2-135m"), prefill_chunk=chunk) as engine:
            answers.append(engine.generate(prompt, max_tokens=12, raw=True).result())
    assert len(answers[0].prompt_ids) > 100
    assert answers[0].token_ids == answers[1].token_ids


def test_prompts_that_come_while_others_run_change_nothing(
    alone: list[tuple[int, ...]], real_bundle: Callable[..., Path]
) -> None:
    with Engine.open(real_bundle("smollm2-135m")) as engine:
        first = engine.generate(PROMPTS[0], max_tokens=12, raw=True)
        begun = next(first)
        second = engine.generate(PROMPTS[2], max_tokens=12, raw=True)
        assert begun
        assert [second.result().token_ids, first.result().token_ids] == [alone[2], alone[0]]
