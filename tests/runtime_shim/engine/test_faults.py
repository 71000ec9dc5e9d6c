"""Faults: one that a request causes ends that request and is raised by its reader; the device's ends all."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sharkpack.runtime_shim import BundleDamagedError, DeviceFailedError, Engine, RequestError, Stream
from tests.runtime_shim.conftest import OpenFake
from tests.runtime_shim.toy_language import continuation

BAD = [77, 1, 2]
GOOD = [[1, 1], [2] * 20, [5]]


@pytest.fixture
def engine(open_fake: OpenFake) -> Engine:
    return open_fake()[0]


class DefectError(Exception):
    """An error as a defect of a sampler, a constraint or a detokenizer would raise."""


def _break_sampler(generation: Stream) -> None:
    sampler = generation._sequence.sampler
    _fail_at_fifth(sampler, "choose", sampler.choose)


def _break_detokenizer(generation: Stream) -> None:
    detokenizer = generation._transcript._detokenizer
    _fail_at_fifth(detokenizer, "push", detokenizer.push)


def _fail_at_fifth(owner: object, name: str, method: Callable[..., Any]) -> None:
    calls = iter(range(5))

    def failing(*arguments: Any) -> Any:
        if next(calls) == 4:
            raise DefectError
        return method(*arguments)

    setattr(owner, name, failing)


@pytest.mark.parametrize("break_something", [_break_sampler, _break_detokenizer])
@pytest.mark.parametrize("first", ["bad", "good"])
def test_a_fault_of_one_request_is_raised_by_its_reader_only(
    engine: Engine, break_something: Callable[[Stream], None], first: str
) -> None:
    bad, good = engine.generate(BAD, max_tokens=30), [engine.generate(prompt, max_tokens=30) for prompt in GOOD]
    break_something(bad)
    if first == "bad":
        with pytest.raises(DefectError):
            list(bad)
    assert [list(each.result().token_ids) for each in good] == [continuation(prompt, 30) for prompt in GOOD]
    with pytest.raises(DefectError):
        list(bad)
    with pytest.raises(DefectError):
        _ = bad.result()
    assert engine._pool.available == engine._pool.capacity


def test_text_before_a_fault_comes_before_it(open_fake: OpenFake) -> None:
    def broken_after_ten(tokens: list[int]) -> int | None:
        return 65 if len(tokens) < 10 else None

    engine, _ = open_fake(next_token=broken_after_ten)
    generation = engine.generate([1, 2, 3], max_tokens=30)
    assert "".join(next(generation) for _ in range(7)) == generation.text == "A" * 7
    for _ in range(2):
        with pytest.raises(BundleDamagedError, match="logits that are not finite"):
            next(generation)
    assert generation.finished


def test_a_template_that_refuses_ends_nobody_else(open_fake: OpenFake) -> None:
    template = (
        "{% for m in messages %}{{ m.content if m.role == 'user' else raise_exception('no ' + m.role) }}{% endfor %}"
    )
    engine, _ = open_fake(chat_template=template)
    generation = engine.generate("hi", max_tokens=8)
    with pytest.raises(RequestError, match="refuses these messages: no x"):
        engine.generate([{"role": "x", "content": ""}])
    assert list(generation.result().token_ids) == continuation(list(b"hi"), 8)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_a_device_failure_reaches_all(open_fake: OpenFake, after: int) -> None:
    engine, executor = open_fake(cache_pages=9)
    begun = [engine.generate([seed] * 20, max_tokens=30) for seed in range(1, 6)]  # more than the pages hold at once
    executor.fail(DeviceFailedError("the device is gone"), after=after)
    for generation in begun:
        with pytest.raises(DeviceFailedError, match="the device is gone"):
            list(generation)
        with pytest.raises(DeviceFailedError, match="the device is gone"):
            _ = generation.result()
    assert engine._pool.available == engine._pool.capacity
    assert engine.step() is False
    assert list(engine.complete([4, 4], max_tokens=5).token_ids) == continuation([4, 4], 5), "what is asked for later"


def test_readers_in_threads_get_what_is_theirs(engine: Engine) -> None:
    prompts = [[seed, seed] for seed in range(8)]
    begun = [engine.generate(prompt, max_tokens=20) for prompt in prompts]
    for generation in begun[::2]:
        _break_sampler(generation)

    def read(generation: Stream) -> object:
        try:
            return list(generation.result().token_ids)
        except DefectError:
            return "defect"

    with ThreadPoolExecutor(len(begun)) as pool:
        found = list(pool.map(read, begun))
    assert found == ["defect" if seed % 2 == 0 else continuation([seed, seed], 20) for seed in range(8)]
