"""Engine: what it refuses, and the sentence that it says."""

from pathlib import Path

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Bundle, Engine
from tests.runtime_shim.conftest import OpenFake
from tests.runtime_shim.toy_language import CONTEXT, VOCABULARY


@pytest.fixture
def engine(open_fake: OpenFake) -> Engine:
    return open_fake()[0]


def test_a_closed_engine_says_so(toy_bundle: Path) -> None:
    engine = Engine.open(toy_bundle, threads=1)
    generation = engine.generate([1, 2])
    engine.close()
    engine.close()
    for use in (
        lambda: engine.generate("a"),
        lambda: engine.encode("a"),
        lambda: next(generation),
        lambda: engine.logits([1]),
        lambda: engine.score([1]),
        lambda: engine.step(),
    ):
        with pytest.raises(SharkpackError, match="the engine is closed"):
            use()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": []}, "the prompt is empty"),
        ({"prompt": [1] * (CONTEXT + 1)}, f"the prompt is {CONTEXT + 1} tokens and the context {CONTEXT}: shorten"),
        ({"prompt": [VOCABULARY]}, f"the token id {VOCABULARY} is outside the vocabulary of {VOCABULARY}"),
        ({"prompt": None}, "a prompt is text, a list of token ids or a list of messages"),
        ({"prompt": b"abc"}, "a prompt is text, a list of token ids or a list of messages"),
        ({"prompt": {"role": "user"}}, "a prompt is text, a list of token ids or a list of messages"),
        ({"prompt": iter([1])}, "a prompt is text, a list of token ids or a list of messages"),
        ({"prompt": "a", "max_tokens": 0}, "max-tokens is 0: expected 1 or more"),
        ({"prompt": "a", "max_tokens": 1.5}, "max-tokens is 1.5: expected a whole number"),
        ({"prompt": "a", "sampling": None}, "sampling is None: expected a Sampling"),
        ({"prompt": "a", "stop": None}, "stop is None: expected a string, or a list of strings"),
        ({"prompt": "a", "stop": [1]}, r"stop is \[1\]: expected a string, or a list of strings"),
        ({"prompt": "a", "stop": [""]}, "a stop string is empty"),
    ],
)
def test_bad_requests(engine: Engine, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        engine.generate(**arguments)  # type: ignore[arg-type]
    assert engine.step() is False


@pytest.mark.parametrize(
    ("tokens", "advice"),
    [(CONTEXT, f"or ask for a longer context, up to {CONTEXT}$"), (CONTEXT + 1, "or build the bundle with a longer")],
)
def test_a_prompt_for_a_longer_context(toy_bundle: Path, tokens: int, advice: str) -> None:
    """The advice depends on whether the bundle has the room that the engine did not request."""
    with Engine.open(toy_bundle, threads=1, context=CONTEXT - 1) as engine, pytest.raises(SharkpackError, match=advice):
        engine.generate([1] * tokens)


@pytest.mark.parametrize("first", [-1, 3, 99])
def test_scoring_from_outside_the_text(engine: Engine, first: int) -> None:
    for use in (engine.score, engine.all_logits):
        with pytest.raises(SharkpackError, match=f"first is {first}: expected 0 to 2, a position of the text"):
            use([1, 2, 3], first=first)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "npu"}, "unknown device 'npu'"),
        ({"target": "nope"}, "no target 'nope' in this bundle, which has generic"),
        ({"context": CONTEXT + 1}, f"context is {CONTEXT + 1}: this bundle was built for 1 to {CONTEXT} tokens"),
        ({"context": 0}, "context is 0"),
        ({"cache_pages": 0}, "cache-pages is 0"),
        ({"threads": 0}, "threads is 0"),
        ({"threads": 257}, "threads is 257: IREE runs at most 256"),
        ({"threads": "2"}, "threads is '2': expected a whole number"),
        ({"context": 1.5}, "context is 1.5: expected a whole number"),
        ({"cache_pages": 10**30}, "no memory for a cache of"),
        ({"device": None}, "unknown device None"),
        ({"prefill_chunk": 0}, "prefill-chunk is 0"),
        ({"device": "local-sync", "threads": 2}, "the device local-sync has one thread, and 2 were asked for"),
    ],
)
def test_bad_openings(toy_bundle: Path, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        Engine.open(toy_bundle, **arguments)  # type: ignore[arg-type]


def test_a_bundle_that_is_closed(toy_bundle: Path) -> None:
    bundle = Bundle.open(toy_bundle)
    bundle.close()
    with pytest.raises(SharkpackError, match=r"toy.shark: it has been closed: open it again"):
        Engine.open(bundle)


def test_a_file_that_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "x.shark").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(SharkpackError, match="not a sharkpack bundle but a GGUF file"):
        Engine.open(tmp_path / "x.shark")
