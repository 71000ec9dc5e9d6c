"""Each class of error, raised by what it is for: by the runtime, and as one line with status 2 by the command line."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sharkpack.cli.main import main
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim import (
    BundleDamagedError,
    BundleError,
    BundleUnsupportedError,
    CacheFullError,
    ContextExceededError,
    DeviceFailedError,
    Engine,
    EngineClosedError,
    NoDeviceError,
    RequestError,
    Sampling,
    SharkpackError,
    errors,
)
from tests.runtime_shim.toy_bundle import ToyBundle, toy_signature, toy_target
from tests.runtime_shim.toy_language import CONTEXT, VOCABULARY

Make = Callable[..., Path]


@pytest.fixture
def make(toy_code: bytes, tmp_path: Path) -> Make:
    """A toy bundle with changes, and the bytes of one of its members inverted if asked for."""

    def make(*, damage: str | None = None, **changes: object) -> Path:
        toy = ToyBundle(code=toy_code)
        path = replace(toy, **changes).write(tmp_path / "toy.shark")  # type: ignore[arg-type]
        if damage is not None:
            with Archive.open(path) as archive:
                offset = archive.file_offset(damage) + 20
            data = bytearray(path.read_bytes())
            data[offset] ^= 255
            path.write_bytes(data)
        return path

    return make


def test_all_are_sharkpack_errors_with_a_sentence_of_what_they_mean() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, SharkpackError) for kind in kinds)
    assert all(kind.__doc__ for kind in kinds)


def test_errors_pass_between_processes() -> None:
    error = ContextExceededError("too long", 9, 8)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.tokens, again.context_length) == (ContextExceededError, "too long", 9, 8)


Refused = Callable[[Path, type[SharkpackError]], None]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Assert that a bundle is refused by this class, and none below it, and by `run` in one line with status 2."""

    def refused(path: Path, kind: type[SharkpackError]) -> None:
        with pytest.raises(kind) as caught, Engine.open(path, threads=1) as engine:
            engine.generate("hi", max_tokens=1)
        assert type(caught.value) is kind
        _says_so(capsys, path, "hi")

    return refused


def _says_so(capsys: pytest.CaptureFixture[str], path: Path, prompt: str) -> None:
    assert main(["run", str(path), prompt, "--threads", "1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"GGUF" + bytes(99), b"hello", b"PK\x03\x04" + bytes(99)])
def test_a_file_that_is_no_bundle(refused: Refused, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.shark"
    path.write_bytes(content)
    refused(path, BundleError)


def test_a_path_that_none_has() -> None:
    with pytest.raises(BundleError, match="cannot open"):
        Engine.open("a\0b")


def test_a_file_that_is_not_there(refused: Refused, tmp_path: Path) -> None:
    refused(tmp_path / "x.shark", BundleError)


@pytest.mark.parametrize("member", ["targets/generic/module.vmfb", "tokenizer/tokenizer.json.zst"])
def test_a_damaged_member(refused: Refused, make: Make, member: str) -> None:
    refused(make(damage=member), BundleDamagedError)


def test_a_file_that_is_cut_short(refused: Refused, make: Make) -> None:
    path = make()
    whole = path.read_bytes()
    for size in (20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, BundleDamagedError)


def test_code_that_does_not_keep_its_promise(refused: Refused, make: Make) -> None:
    refused(make(signature=toy_signature((1, 2))), BundleDamagedError)


def test_what_a_newer_version_made(refused: Refused, make: Make) -> None:
    refused(make(minimum_runtime="99.0"), BundleUnsupportedError)
    refused(make(code=b"x" * 99), BundleUnsupportedError)
    refused(make(chat_template="{% nonsense %}"), BundleUnsupportedError)


def test_a_machine_that_cannot_run_it(refused: Refused, make: Make) -> None:
    for target in (
        toy_target("t", architecture="pdp11"),
        toy_target("t", driver="warp"),
        toy_target("t", features=("x",)),
    ):
        refused(make(targets=(target,)), NoDeviceError)


def test_more_pages_than_memory_holds(toy_bundle: Path) -> None:
    with pytest.raises(CacheFullError, match="no memory for a cache"):
        Engine.open(toy_bundle, cache_pages=10**30)


def test_more_tokens_than_the_cache_holds(toy_bundle: Path) -> None:
    with Engine.open(toy_bundle, threads=1, cache_pages=2) as engine:
        with pytest.raises(CacheFullError, match="40 tokens need 5 pages and the cache has 2"):
            engine.generate([1] * 30, max_tokens=10)
        with pytest.raises(CacheFullError, match="the cache is full: 4 pages were asked for and 2 of 2 are free"):
            engine.logits([1] * 30)


def test_a_prompt_that_is_longer_than_the_context(toy_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Engine.open(toy_bundle, threads=1) as engine:
        for use in (engine.generate, engine.encode, engine.logits, engine.score):
            with pytest.raises(ContextExceededError, match="shorten the prompt") as caught:
                use([1] * (CONTEXT + 5))
            assert (caught.value.tokens, caught.value.context_length) == (CONTEXT + 5, CONTEXT)
    _says_so(capsys, toy_bundle, "x" * (CONTEXT + 5))


@pytest.mark.parametrize(
    "use",
    [
        lambda engine: engine.generate(""),
        lambda engine: engine.generate("a", stop=[""]),
        lambda engine: engine.generate("\ud800"),
        lambda engine: engine.generate([{"role": "user", "content": "a"}]),
        lambda engine: engine.generate("a", max_tokens=0),
        lambda engine: engine.encode([VOCABULARY]),
        lambda engine: engine.encode({1, 2}),
        lambda engine: engine.encode([1, "a"]),
        lambda engine: engine.score([1, 2], first=2),
        lambda engine: engine.score([1, 2], first="a"),
        lambda engine: engine.logits(None),
        lambda engine: engine.decode(None),
        lambda engine: engine.decode([1.5]),
        lambda engine: engine.batch("abc"),
        lambda engine: engine.batch(None),
        lambda engine: engine.generate("a", tools=None),
        lambda engine: Engine.open(5),  # type: ignore[arg-type]
        lambda engine: Sampling(top_p=0),
        lambda engine: Engine.open(engine.bundle, threads=0),
        lambda engine: Engine.open(engine.bundle, device="npu"),
        lambda engine: Engine.open(engine.bundle, target="nope"),
        lambda engine: Engine.open(engine.bundle, context=CONTEXT + 1),
    ],
)
def test_what_cannot_be_served_as_it_is_asked_for(toy_bundle: Path, use: Callable[[Engine], object]) -> None:
    with Engine.open(toy_bundle, threads=1) as engine, pytest.raises(RequestError):
        use(engine)


def test_a_closed_engine(toy_bundle: Path) -> None:
    engine = Engine.open(toy_bundle, threads=1)
    engine.close()
    with pytest.raises(EngineClosedError):
        engine.generate("a")


def test_a_device_that_fails(toy_bundle: Path) -> None:
    with Engine.open(toy_bundle, threads=1) as engine:
        executor = engine._executor
        executor._native._context = _Broken()  # type: ignore[attr-defined]
        with pytest.raises(DeviceFailedError, match="prefill_bs1 failed: out of order; the pump is dry"):
            engine.logits([1, 2])


class _Broken:
    def invoke(self, *arguments: object) -> None:
        raise RuntimeError("out of order;\n  the pump is dry")
