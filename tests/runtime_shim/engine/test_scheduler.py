"""Scheduler on a fake executor: admission, chunks, batches, turns, preemption."""

import pytest

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.engine.pages import PagePool
from sharkpack.runtime_shim.engine.scheduler import ScheduledBatch, Scheduler
from sharkpack.runtime_shim.engine.sequence import Request, SequenceStatus, TokenSequence
from sharkpack.runtime_shim.executor.fake import FakeExecutor
from tests.runtime_shim.toy_bundle import TOY_SIGNATURE
from tests.runtime_shim.toy_language import CONTEXT, END, PAGE_SIZE, continuation, next_token


class Bench:
    """A fake executor with `pages` pages to use, and schedulers over it."""

    def __init__(self, pages: int, prefill_chunk: int = CONTEXT) -> None:
        self.executor = FakeExecutor(
            generate_signature(TOY_SIGNATURE), cache_pages=pages + 1, next_token=next_token, prefill_chunk=prefill_chunk
        )
        self.pool = PagePool(pages + 1)

    def scheduler(self, prefill_chunk: int = 16) -> Scheduler:
        return Scheduler(self.executor, self.pool, context_length=CONTEXT, prefill_chunk=prefill_chunk)


def _sequence(prompt: list[int], max_tokens: int = 10) -> TokenSequence:
    return TokenSequence(Request(prompt_ids=tuple(prompt), max_tokens=max_tokens, end_token_ids=frozenset({END})))


def _run(scheduler: Scheduler) -> list[ScheduledBatch]:
    steps = []
    while (step := scheduler.step()) is not None:
        steps.append(step)
        assert not [each.error for each in step.sequences if each.error]
        assert len(steps) < 2000, "the scheduler does not end"
    assert not scheduler.busy
    return steps


def test_a_long_prompt_is_computed_in_chunks() -> None:
    scheduler = Bench(12).scheduler(prefill_chunk=16)
    prompt = list(range(50))
    scheduler.add(sequence := _sequence(prompt))
    steps = _run(scheduler)
    assert [step.counts for step in steps if step.entry == "prefill"] == [(16,), (16,), (16,), (2,)]
    assert sequence.generated_ids == continuation(prompt, 10)


def test_sequences_together_say_what_each_says_alone() -> None:
    prompts = [[1], [2, 3], list(range(40)), [9] * 17, [200, 7, 7], [31] * 8, [250]]
    bench = Bench(80)
    scheduler = bench.scheduler()
    sequences = [_sequence(prompt, 30) for prompt in prompts]
    for sequence in sequences:
        scheduler.add(sequence)
    steps = _run(scheduler)
    assert [each.generated_ids for each in sequences] == [continuation(prompt, 30) for prompt in prompts]
    assert max(len(step.sequences) for step in steps if step.entry == "decode") == 4
    assert bench.pool.available == bench.pool.capacity


def test_decoding_goes_on_while_a_long_prompt_is_computed() -> None:
    scheduler = Bench(40).scheduler(prefill_chunk=8)
    scheduler.add(talking := _sequence([4, 4], 40))
    while not talking.generated_ids:
        scheduler.step()
    scheduler.add(_sequence(list(range(64)), 2))
    entries = [step.entry for step in _run(scheduler)]
    assert entries[:8] in (["prefill", "decode"] * 4, ["decode", "prefill"] * 4)


def test_prompts_of_like_length_share_a_call_and_others_do_not() -> None:
    scheduler = Bench(60).scheduler(prefill_chunk=64)
    for length in (16, 15, 14, 13):
        scheduler.add(_sequence([length] * length, 1))
    assert [len(step.sequences) for step in _run(scheduler)] == [4]
    for length in (16, 2, 2, 2):
        scheduler.add(_sequence([length] * length, 1))
    first = scheduler.step()
    assert first is not None
    assert len(first.sequences) == 1
    _run(scheduler)


def test_a_prompt_waits_until_there_are_pages() -> None:
    bench = Bench(6)
    scheduler = bench.scheduler()
    first, second = _sequence([1] * 30, 4), _sequence([2] * 30, 4)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.step()
    assert (first.status, second.status) == (SequenceStatus.RUNNING, SequenceStatus.WAITING)
    _run(scheduler)
    assert first.generated_ids == continuation([1] * 30, 4)
    assert second.generated_ids == continuation([2] * 30, 4)


@pytest.mark.parametrize("pages", [7, 9, 13, 40])
def test_when_pages_run_out_the_youngest_begins_again_and_nothing_is_lost(pages: int) -> None:
    bench = Bench(pages)
    scheduler = bench.scheduler()
    prompts = [[seed] * 7 for seed in (3, 5, 11, 29, 31)]
    sequences = [_sequence(prompt, 40) for prompt in prompts]
    for sequence in sequences:
        scheduler.add(sequence)
    steps = _run(scheduler)
    assert [each.generated_ids for each in sequences] == [continuation(prompt, 40) for prompt in prompts]
    assert bench.pool.available == bench.pool.capacity
    once = sum(len(each.tokens) - (each.finish_reason == "length") for each in sequences)
    assert (sum(sum(step.counts) for step in steps) > once) == (pages < 40)


def test_cancelling_frees_pages_wherever_the_sequence_stands() -> None:
    bench = Bench(6)
    scheduler = bench.scheduler()
    running, waiting, abandoned = _sequence([1] * 30), _sequence([2] * 30), _sequence([3] * 30)
    for sequence in (running, waiting, abandoned):
        scheduler.add(sequence)
    scheduler.step()
    scheduler.end(waiting, "cancelled")
    abandoned.abandoned = True
    scheduler.end(running, "cancelled")
    scheduler.end(running, "cancelled")  # a second time does nothing
    assert _run(scheduler) == []
    assert [each.finish_reason for each in (running, waiting, abandoned)] == ["cancelled"] * 3
    assert bench.pool.available == bench.pool.capacity


def test_what_can_never_fit_is_refused_at_once() -> None:
    scheduler = Bench(2).scheduler()
    with pytest.raises(SharkpackError, match="40 tokens need 5 pages and the cache has 2"):
        scheduler.add(_sequence([1] * 30, 10))
    assert not scheduler.busy


def test_the_last_page_can_be_filled() -> None:
    scheduler = Bench(CONTEXT // PAGE_SIZE).scheduler()
    scheduler.add(sequence := _sequence([1] * CONTEXT, 10))
    _run(scheduler)
    assert sequence.generated_ids == continuation([1] * CONTEXT, 10)
    assert (len(sequence.generated_ids), sequence.finish_reason) == (1, "length")


def test_logits_apart_from_what_is_queued() -> None:
    bench = Bench(12)
    scheduler = bench.scheduler(prefill_chunk=8)
    scheduler.add(sequence := _sequence([6, 7], 20))
    scheduler.step()
    prompt = list(range(30))
    assert int(scheduler.logits(prompt).argmax()) == continuation(prompt, 1)[0]
    _run(scheduler)
    assert sequence.generated_ids == continuation([6, 7], 20)
