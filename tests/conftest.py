"""The real models and the golden outputs, for the tests that need them: fetched once, or skipped with the reason."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SHARED = Path(__file__).resolve().parents[2] / "shared"
MODEL_FILES = {
    "smollm2-135m": ("SmolLM2-135M-Instruct.Q4_1.gguf", 98362432),
    "gemma3-270m": ("gemma-3-270m-q4_k_m.gguf", 253113024),
    "qwen2.5-coder-0.5b": ("qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", 491400064),
}


@pytest.fixture(scope="session", autouse=True)
def compile_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The suite's builds share a compile cache of their own, empty when it starts."""
    folder = tmp_path_factory.mktemp("compile-cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARKPACK_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """`model_path("smollm2-135m")`: the path of that model's GGUF file; fetches it when it is not there yet."""
    return _model_path


@pytest.fixture(scope="session")
def golden() -> Callable[[str], Path]:
    """`golden("smollm2-135m.exact.json")`: the path of that golden file."""
    return _golden


@cache
def _model_path(name: str) -> Path:
    file_name, size = MODEL_FILES[name]
    folder = Path(os.environ.get("SHARKPACK_MODELS", Path.home() / ".cache" / "sharkpack" / "models"))
    path = folder / file_name
    if path.exists() and path.stat().st_size == size:
        return path
    fetch = SHARED / "models" / "fetch.py"
    if not fetch.exists():
        pytest.skip(f"NOT RUN: {name} is not at {path} (set SHARKPACK_MODELS), and {fetch} is not there to fetch it")
    result = subprocess.run([sys.executable, str(fetch), name], capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        pytest.skip(f"NOT RUN: {name} is not at {path} and could not be fetched: {reason}")
    return Path(result.stdout.strip())


def _golden(name: str) -> Path:
    path = SHARED / "golden" / name
    if not path.exists():
        pytest.skip(f"NOT RUN: the golden file {path} is not there")
    return path
