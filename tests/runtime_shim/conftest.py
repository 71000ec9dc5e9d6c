"""The toy bundle, compiled once a session."""

from pathlib import Path

import pytest

from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_program import compile_toy


@pytest.fixture(scope="session")
def toy_code() -> bytes:
    return compile_toy()


@pytest.fixture(scope="session")
def toy_bundle(toy_code: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ToyBundle(code=toy_code).write(tmp_path_factory.mktemp("toy") / "toy.shark")
