"""Engine: answers, streams, batches and ends, as a program that embeds it sees them.

On a fake executor, but for what the compiled toy and its devices are needed for: those tests take `compiled`.
"""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Bundle, Engine, Sampling
from sharkpack.runtime_shim.engine.sampling import Sampler
from sharkpack.runtime_shim.engine.sequence import TokenSequence
from sharkpack.runtime_shim.executor.fake import FakeExecutor
from sharkpack.runtime_shim.text.prompt import Prompt
from tests.runtime_shim.conftest import OpenFake
from tests.runtime_shim.toy_bundle import ToyBundle, toy_signature
from tests.runtime_shim.toy_language import CHAT_TEMPLATE, CONTEXT, END, VOCABULARY, continuation, next_token


@pytest.fixture
def engine(open_fake: OpenFake) -> Engine:
    return open_fake()[0]


@pytest.fixture
def compiled(toy_bundle: Path) -> Iterator[Engine]:
    with Engine.open(toy_bundle, threads=1) as engine:
        yield engine


def _prompt_ending_with_end(after: int) -> list[int]:
    """A prompt whose greedy answer is `after` tokens and then END."""
    for first in range(256):
        for second in range(256):
            said = continuation([first, second], after + 1)
            if len(said) == after and next_token([first, second, *said]) == END:
                return [first, second]
    raise AssertionError("the table has no such prompt")


def test_an_answer_and_what_is_said_about_it(compiled: Engine) -> None:
    result = compiled.generate([1, 2, 3], max_tokens=12).result()
    assert list(result.token_ids) == continuation([1, 2, 3], 12)
    assert (result.prompt_ids, result.finish_reason, result.target) == ((1, 2, 3), "length", "generic")
    assert result.text == bytes(token for token in result.token_ids if token < 256).decode(errors="replace")
    assert set(result.timings_ms) == {"load", "prefill", "first_token", "decode"}
    assert all(value > 0 for value in result.timings_ms.values())
    assert all(result.tokens_per_second[phase] > 0 for phase in ("prefill", "decode"))


def test_iterating_gives_the_text_in_whole_pieces(engine: Engine) -> None:
    generation = engine.generate("Hello", max_tokens=60)
    pieces = list(generation)
    assert "".join(pieces) == generation.result().text == generation.text
    assert len(pieces) > 5
    assert all(pieces)


def test_an_end_token_stops_and_is_not_part_of_the_answer(engine: Engine) -> None:
    prompt = _prompt_ending_with_end(after=3)
    result = engine.generate(prompt, max_tokens=50).result()
    assert (result.finish_reason, len(result.token_ids)) == ("stop", 3)


def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole = engine.generate("Hello", max_tokens=60).result().text
    stop = whole[10:13]
    for stops in ([stop], stop, ["never there", stop]):
        generation = engine.generate("Hello", max_tokens=60, stop=stops)
        assert "".join(generation) == whole[: whole.find(stop)]
        assert generation.result().finish_reason == "stop_string"


def test_the_context_ends_an_answer(engine: Engine) -> None:
    result = engine.generate([3] * (CONTEXT - 2), max_tokens=50).result()
    assert list(result.token_ids) == continuation([3] * (CONTEXT - 2), 50)
    assert (len(result.token_ids), result.finish_reason) == (3, "length")
    assert len(engine.generate([3] * CONTEXT, max_tokens=50).result().token_ids) == 1


def test_a_prompt_of_one_token(engine: Engine) -> None:
    assert list(engine.generate([9], max_tokens=5).result().token_ids) == continuation([9], 5)


def test_a_batch_says_what_each_says_alone(engine: Engine) -> None:
    prompts: list[Prompt] = [[1, 2], "Hello", [7] * 30, [250], "x", [4, 4, 4]]
    together = engine.batch(prompts, max_tokens=20)
    alone = [engine.generate(prompt, max_tokens=20).result() for prompt in prompts]
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]


def test_sampling_with_a_seed_does_not_depend_on_company(engine: Engine) -> None:
    sampling = Sampling(temperature=4.0, seed=11)
    alone = engine.generate([1, 2], max_tokens=20, sampling=sampling).result().token_ids
    others = [engine.generate([5, step], max_tokens=20) for step in range(3)]
    assert engine.generate([1, 2], max_tokens=20, sampling=sampling).result().token_ids == alone
    assert alone != tuple(continuation([1, 2], 20))
    assert [list(other.result().token_ids) for other in others] == [continuation([5, step], 20) for step in range(3)]


def test_generations_move_on_together(engine: Engine) -> None:
    first, second = engine.generate([1, 1], max_tokens=20), engine.generate([2, 2], max_tokens=20)
    assert first.result().token_ids == tuple(continuation([1, 1], 20))
    assert len(second._sequence.generated_ids) > 15
    assert second.result().token_ids == tuple(continuation([2, 2], 20))


def test_cancelling_leaves_the_text_so_far(engine: Engine) -> None:
    generation = engine.generate("Hello", max_tokens=60)
    first = next(generation)
    generation.cancel()
    rest = "".join(generation)
    assert generation.result().finish_reason == "cancelled"
    assert generation.result().text == first + rest
    assert 0 < len(generation.result().token_ids) < 60
    assert engine.step() is False


def test_a_generation_that_nobody_holds_is_dropped(engine: Engine) -> None:
    for _ in engine.generate("Hello", max_tokens=60):
        break
    gc.collect()
    assert engine.step() is False
    assert engine._pool.available == engine._pool.capacity


def test_logits(compiled: Engine) -> None:
    logits = compiled.logits([5, 6, 7])
    assert (logits.shape, str(logits.dtype)) == ((VOCABULARY,), "float32")
    assert int(logits.argmax()) == next_token([5, 6, 7])
    assert logits.base is None  # a copy: it outlives the engine


def test_logits_outlive_the_next_call(engine: Engine) -> None:
    logits, all_logits = engine.logits([5, 6, 7]), engine.all_logits([5, 6, 7])
    engine.logits([1])
    assert int(logits.argmax()) == int(all_logits[-1].argmax()) == next_token([5, 6, 7])


def test_logits_after_each_token(compiled: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [11 * i % 200 for i in range(50)]
    monkeypatch.setattr("sharkpack.runtime_shim.executor.compiled.SCORED_ELEMENTS", 7 * VOCABULARY)
    for first in (0, 1, 33, 49):
        logits = compiled.all_logits(tokens, first=first)
        assert logits.shape == (50 - first, VOCABULARY)
        assert logits.argmax(axis=1).tolist() == [next_token(tokens[: end + 1]) for end in range(first, 50)]
    np.testing.assert_array_equal(logits[-1], compiled.logits(tokens))


def test_scores(engine: Engine) -> None:
    """The toy gives its favourite e^10 times the probability of any other token."""
    tokens = [5, *continuation([5], 20), 77]
    scores = engine.score(tokens, first=2)
    unlikely = -np.log(np.exp(10.0) + VOCABULARY - 1)
    wanted = [unlikely + 10] * 18 + [unlikely + 10 * (next_token(tokens[:-1]) == 77)]
    np.testing.assert_allclose(scores.log_probabilities, wanted, rtol=1e-6)
    assert scores.argmax.tolist() == [next_token(tokens[:end]) for end in range(3, 22)]


def test_scoring_disturbs_nothing_and_keeps_nothing(engine: Engine) -> None:
    generation = engine.generate([1, 2, 3], max_tokens=12)
    next(generation)
    free = engine._pool.available
    engine.score([4] * 40)
    assert engine._pool.available == free
    assert list(generation.result().token_ids) == continuation([1, 2, 3], 12)


def test_chat(toy_code: bytes, tmp_path: Path) -> None:
    path = ToyBundle(code=toy_code, chat_template=CHAT_TEMPLATE).write(tmp_path / "toy.shark")
    with Engine.open(path, threads=1) as engine:
        templated = engine.generate("hi", max_tokens=4).result()
        assert templated.prompt_ids == engine.encode([{"role": "user", "content": "hi"}])
        assert engine.generate("hi", max_tokens=4, raw=True).result().prompt_ids == tuple(b"hi")


@pytest.mark.parametrize("batch_sizes", [(1,), (4,)])
def test_bundles_with_one_batch_size(toy_code: bytes, tmp_path: Path, batch_sizes: tuple[int, ...]) -> None:
    signature = toy_signature(batch_sizes)
    path = ToyBundle(code=toy_code, signature=signature).write(tmp_path / "toy.shark")
    with Engine.open(path, threads=1, prefill_chunk=16) as engine:
        results = engine.batch([[1] * 40, [2], [3, 4]], max_tokens=10)
        assert [list(each.token_ids) for each in results] == [
            continuation(prompt, 10) for prompt in ([1] * 40, [2], [3, 4])
        ]
        assert int(engine.logits([1] * 40).argmax()) == next_token([1] * 40)


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_local_devices(toy_bundle: Path, device: str) -> None:
    with Engine.open(toy_bundle, device=device) as engine:
        assert engine.info.device == device
        assert list(engine.generate([1, 2], max_tokens=9).result().token_ids) == continuation([1, 2], 9)


def test_a_smaller_context_and_cache(toy_bundle: Path) -> None:
    with Engine.open(toy_bundle, threads=1, context=20) as engine:
        assert list(engine.generate([1, 2], max_tokens=50).result().token_ids) == continuation([1, 2], 50, context=20)
    with Engine.open(toy_bundle, threads=1, cache_pages=3) as engine:
        assert len(engine.batch([[1] * 10, [2] * 10], max_tokens=10)) == 2
        with pytest.raises(SharkpackError, match="60 tokens need 8 pages and the cache has 3"):
            engine.generate([1] * 50, max_tokens=10)


def test_an_open_bundle_stays_open(toy_bundle: Path) -> None:
    with Bundle.open(toy_bundle) as bundle:
        for _ in range(2):
            with Engine.open(bundle, threads=1) as engine:
                assert list(engine.complete("hi", max_tokens=3).token_ids) == continuation(b"hi", 3)
        assert bundle.manifest.model.name == "toy"


@pytest.mark.parametrize("device", ["local-sync", "local-task"])
def test_closing_lets_go_of_the_file(toy_bundle: Path, device: str) -> None:
    engine = Engine.open(toy_bundle, device=device)
    assert list(engine.complete("hi", max_tokens=3).token_ids) == continuation(b"hi", 3)
    engine.close()
    assert engine.bundle.archive.mmap.closed


def test_generations_may_be_read_from_several_threads(engine: Engine) -> None:
    prompts: list[list[int]] = [[seed, seed + 1] for seed in range(8)]
    generations = [engine.generate(prompt, max_tokens=25) for prompt in prompts]
    with ThreadPoolExecutor(len(generations)) as pool:
        results = list(pool.map(lambda generation: ("".join(generation), generation.result()), generations))
    assert [list(result.token_ids) for _, result in results] == [continuation(prompt, 25) for prompt in prompts]
    assert all(text == result.text for text, result in results)


def test_going_on_after_an_interrupt_loses_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = engine.generate([1, 2, 3], max_tokens=12)

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    for kind, name in (TokenSequence, "accept"), (Sampler, "choose"), (FakeExecutor, "call"):
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                engine.step()
    assert list(generation.result().token_ids) == continuation([1, 2, 3], 12)
