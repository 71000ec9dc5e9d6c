"""The toy bundle, compiled once a session, and engines over it that compute nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Bundle, Engine
from sharkpack.runtime_shim.executor.fake import FakeExecutor
from tests.runtime_shim.toy_bundle import TOY_SIGNATURE, ToyBundle
from tests.runtime_shim.toy_language import next_token
from tests.runtime_shim.toy_program import compile_toy

OpenFake = Callable[..., tuple[Engine, FakeExecutor]]


@pytest.fixture(scope="session")
def toy_code() -> bytes:
    return compile_toy()


@pytest.fixture(scope="session")
def toy_bundle(toy_code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ToyBundle(code=toy_code).write(tmp_path_factory.mktemp("toy") / "toy.shark")


@pytest.fixture
def open_fake(tmp_path: Path) -> Iterator[OpenFake]:
    """`open_fake(cache_pages=40, next_token=..., chat_template=...)`: an engine over a fake executor, and that one."""
    opened: list[Engine] = []

    def open_fake(
        *, cache_pages: int = 40, next_token: Any = next_token, **changes: Any
    ) -> tuple[Engine, FakeExecutor]:
        toy = ToyBundle(code=b"not run", **changes)
        bundle = Bundle.open(toy.write(tmp_path / f"{len(opened)}.shark"))
        executor = FakeExecutor(generate_signature(TOY_SIGNATURE), cache_pages=cache_pages + 1, next_token=next_token)
        opened.append(Engine(bundle, executor, target="none", device="fake", owns_bundle=True))
        return opened[-1], executor

    yield open_fake
    for engine in opened:
        engine.close()
