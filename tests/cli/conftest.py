"""A toy bundle that really runs, and the command line called in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sharkpack.cli.main import main
from tests.outcome import Outcome
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_language import CHAT_TEMPLATE
from tests.runtime_shim.toy_program import compile_toy

Sharkpack = Callable[..., Outcome]


@pytest.fixture
def sharkpack(capfd: pytest.CaptureFixture[str]) -> Sharkpack:
    """Run `sharkpack ARGUMENT...` in this process."""

    def call(*arguments: str | Path) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(status=status, out=captured.out, err=captured.err)

    return call


@pytest.fixture(scope="session")
def toy_code() -> bytes:
    return compile_toy()


@pytest.fixture(scope="session")
def bundle(toy_code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy bundle without a chat template."""
    return ToyBundle(code=toy_code).write(tmp_path_factory.mktemp("cli") / "toy.shark")


@pytest.fixture(scope="session")
def chat_bundle(toy_code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy bundle with one."""
    return ToyBundle(code=toy_code, chat_template=CHAT_TEMPLATE).write(tmp_path_factory.mktemp("cli") / "chat.shark")
