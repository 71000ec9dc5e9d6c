"""The compile cache that the suite's builds share. Real models and the fast tier come from plugins."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["pytester", "tests.fast_tier", "tests.model_plugin"]


@pytest.fixture(scope="session", autouse=True)
def compile_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The suite's builds share a compile cache of their own, empty when it starts."""
    folder = tmp_path_factory.mktemp("compile-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARKPACK_CACHE_DIR", str(folder))
        yield folder


def pytest_collection_finish() -> None:
    """Have torch compute in one thread: of tiny models, several would mostly wait for each other."""
    if "torch" in sys.modules:  # else no test needs it
        sys.modules["torch"].set_num_threads(1)
