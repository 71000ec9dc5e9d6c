"""`sharkpack build` on what it cannot build, with the real bundler: one sentence, status 2, and no file left."""

from pathlib import Path

import pytest

from tests.cli.conftest import Sharkpack
from tests.tiny_models import write_tiny_gguf


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp("models") / "tiny.gguf", dim=128, head_dim=32).read_bytes()


@pytest.fixture
def model(tmp_path: Path, whole: bytes) -> Path:
    """A sound model in a folder of its own."""
    path = tmp_path / "model.gguf"
    path.write_bytes(whole)
    return path


def _refusal(sharkpack: Sharkpack, source: Path, *options: str | Path) -> str:
    """The error; nothing may have been made or changed beside the source."""
    folder = source.parent
    before = {path: path.read_bytes() for path in folder.iterdir()}
    error = sharkpack("build", source, *options).error
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    return error


def test_missing_source(sharkpack: Sharkpack, tmp_path: Path) -> None:
    assert "none.gguf: no such file" in _refusal(sharkpack, tmp_path / "none.gguf")


def test_not_a_gguf_file(sharkpack: Sharkpack, model: Path) -> None:
    model.write_text("a letter to my aunt")
    assert "not a GGUF file" in _refusal(sharkpack, model)


def test_truncated(sharkpack: Sharkpack, model: Path, whole: bytes) -> None:
    model.write_bytes(whole[:-1000])
    assert "cut short" in _refusal(sharkpack, model)


def test_unsupported_architecture(sharkpack: Sharkpack, model: Path) -> None:
    write_tiny_gguf(model, metadata={"general.architecture": "mamba", "mamba.context_length": 512})
    error = _refusal(sharkpack, model)
    assert "'mamba'" in error
    assert "llama" in error


def test_output_exists(sharkpack: Sharkpack, model: Path) -> None:
    model.with_suffix(".shark").write_text("mine")
    error = _refusal(sharkpack, model)
    assert "model.shark exists" in error
    assert "--force" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "no/such/folder/model.shark"), "no/such/folder does not exist"),
        (("--target", "x86-64-v9"), "unknown target 'x86-64-v9'"),
        (("--context", "1000000"), "context 1000000 is not possible"),
        (("--page-size", "7"), "page size 7 is not one of"),
        (("--batch-sizes", "1,1000"), "batch sizes"),
    ],
)
def test_options_that_make_no_sense(sharkpack: Sharkpack, model: Path, options: tuple[str, ...], message: str) -> None:
    assert message in _refusal(sharkpack, model, *options)
