"""FakeExecutor: it answers as the compiled toy does, and lets no mistake of its caller pass."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Bundle, EngineClosedError, Executor, RequestError, SequenceChunk
from sharkpack.runtime_shim.device.hal import open_device
from sharkpack.runtime_shim.executor.compiled import CompiledExecutor
from sharkpack.runtime_shim.executor.fake import FakeExecutor
from tests.runtime_shim.toy_bundle import TOY_SIGNATURE
from tests.runtime_shim.toy_language import PAGE_SIZE, VOCABULARY, next_token

PAGES = 20


@pytest.fixture
def fake() -> FakeExecutor:
    return FakeExecutor(
        generate_signature(TOY_SIGNATURE), cache_pages=PAGES, next_token=next_token, prefill_chunk=64, scored_tokens=16
    )


def _exercise(executor: Executor) -> list[np.ndarray]:
    """Calls of every kind; their results."""
    pages = [11, 2, 19, 5]
    calls: list[Callable[[], np.ndarray]] = [
        lambda: executor.call("prefill", [SequenceChunk(list(range(30, 43)), 0, pages)]),
        lambda: executor.call(
            "prefill", [SequenceChunk(list(range(43, 50)), 13, pages), SequenceChunk([8, 9], 0, [1])]
        ),
        lambda: executor.call("decode", [SequenceChunk([77], 20, pages), SequenceChunk([3], 2, [1])]),
        lambda: executor.score(SequenceChunk([4, 4, 250], 21, pages)),
        lambda: executor.call("prefill", [SequenceChunk([5] * 10, 0, [1, 7])]),  # a page that another had
    ]
    return [call().copy() for call in calls]


def test_it_answers_as_the_compiled_toy_does(fake: FakeExecutor, toy_bundle: Path) -> None:
    with Bundle.open(toy_bundle) as bundle:
        target, device = bundle.select().target, open_device("local-sync", 1)
        compiled = CompiledExecutor(bundle.archive, target, device, cache_pages=PAGES, prefill_chunk=64)
        try:
            for ours, theirs in zip(_exercise(fake), _exercise(compiled), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        finally:
            compiled.close()


def test_without_a_function_every_token_and_its_position_count() -> None:
    fake = FakeExecutor(generate_signature(TOY_SIGNATURE), cache_pages=PAGES)
    prompts = [[1, 2, 3], [1, 3, 2], [2, 1, 3], [1, 2], [1, 2, 4], [0, 1, 2, 3]]
    found = {int(fake.call("prefill", [SequenceChunk(prompt, 0, [1])]).argmax()) for prompt in prompts}
    assert len(found) == len(prompts)


@pytest.mark.parametrize(
    ("entry", "chunks", "mistake"),
    [
        ("decode", [SequenceChunk([1, 2], 0, [1])], "a decode call takes one token a sequence"),
        ("prefill", [SequenceChunk([1], 0, [1]), SequenceChunk([1], 0, [1])], "a page belongs to two sequences"),
        ("prefill", [SequenceChunk([1] * 9, 0, [1, 1])], "a page belongs to two sequences, or twice to one"),
        ("prefill", [SequenceChunk([1], 0, [0])], "a reserved page belongs to nobody"),
        ("decode", [SequenceChunk([1], 3, [1])], "a sequence attends to positions that were never computed"),
        ("prefill", [SequenceChunk([1] * 65, 0, list(range(1, 10)))], "more tokens than a call computes"),
        (
            "prefill",
            [SequenceChunk([1] * 17, 0, [1, 2, 3]), SequenceChunk([1], 0, [4]), SequenceChunk([1], 0, [5])],
            "padding included",
        ),
    ],
)
def test_mistakes_of_a_caller(fake: FakeExecutor, entry: str, chunks: list[SequenceChunk], mistake: str) -> None:
    with pytest.raises(AssertionError, match=mistake):
        fake.call(entry, chunks)  # type: ignore[arg-type]


def test_what_no_executor_computes_is_refused(fake: FakeExecutor) -> None:
    for chunk in (
        SequenceChunk([], 0, [1]),
        SequenceChunk([1], PAGE_SIZE, [1]),
        SequenceChunk([1], 0, [PAGES]),
        SequenceChunk([VOCABULARY], 0, [1]),
    ):
        with pytest.raises(RequestError):
            fake.call("prefill", [chunk])
    fake.close()
    with pytest.raises(EngineClosedError):
        fake.call("prefill", [SequenceChunk([1], 0, [1])])


def test_logits_are_there_until_the_next_call(fake: FakeExecutor) -> None:
    logits = fake.call("prefill", [SequenceChunk([1], 0, [1])])
    assert np.isfinite(logits).all()
    fake.call("prefill", [SequenceChunk([1], 0, [2])])
    assert np.isnan(logits).all()


def test_faults_come_when_they_are_asked_for(fake: FakeExecutor) -> None:
    fake.fail(OSError("gone"), after=1)
    fake.call("prefill", [SequenceChunk([1], 0, [1])])
    with pytest.raises(OSError, match="gone"):
        fake.call("decode", [SequenceChunk([2], 1, [1])])
    assert int(fake.call("decode", [SequenceChunk([2], 1, [1])]).argmax()) == next_token([1, 2])
    assert fake.calls == 2
