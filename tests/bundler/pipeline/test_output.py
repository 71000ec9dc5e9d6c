"""The place where a build goes, and one sentence for each place where it cannot."""

import os
from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.pipeline.output import OutputPath, default_output
from sharkpack.formats.errors import SharkpackError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    return path


def _output(source: Path, *, output: Path | None = None, force: bool = False) -> Path:
    made = OutputPath(path=output or default_output(str(source)), overwrite=force)
    made.check(str(source))
    return made.path


def _refusal(source: Path, **options: Any) -> str:
    before = sorted(source.parent.rglob("*"))
    with pytest.raises(SharkpackError) as error:
        _output(source, **options)
    assert sorted(source.parent.rglob("*")) == before
    return str(error.value)


def test_beside_the_source(source: Path) -> None:
    assert _output(source) == source.with_suffix(".shark")
    assert not _output(source).exists()


@pytest.mark.parametrize(
    ("argument", "name"),
    [
        ("hf:owner/Model-0.5B", "Model-0.5B.shark"),
        ("hf:owner/Model-0.5B@main:sub/model-q4_0.gguf", "model-q4_0.shark"),
    ],
)
def test_a_model_that_is_fetched_goes_here_under_its_name(argument: str, name: str) -> None:
    assert default_output(argument) == Path(name)


def test_dots_in_the_name_of_a_folder_are_no_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "Model-0.5B"
    folder.mkdir()
    assert default_output(f"{folder}/") == tmp_path / "Model-0.5B.shark"
    monkeypatch.chdir(folder)
    assert default_output(".") == tmp_path / "Model-0.5B.shark"


def test_output_exists(source: Path) -> None:
    output = source.with_suffix(".shark")
    output.write_text("mine")
    message = _refusal(source)
    assert message == f"output {output} exists; choose another name with -o, or replace it with --force"
    assert _output(source, force=True) == output
    assert output.read_text() == "mine"


def test_output_is_a_directory(source: Path) -> None:
    folder = source.parent
    message = f"output {folder} is a directory; give the name of a file with -o"
    assert _refusal(source, output=folder) == message
    assert _refusal(source, output=folder, force=True) == message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("force", [False, True])
def test_output_is_no_file(source: Path, force: bool) -> None:
    """A file put in the place of /dev/null would be the end of it for the whole machine."""
    pipe = source.parent / "pipe"
    os.mkfifo(pipe)
    message = f"output {pipe} is a device or a pipe; give the name of a file with -o"
    assert _refusal(source, output=pipe, force=force) == message


def test_output_in_a_folder_that_is_not_there(source: Path) -> None:
    folder = source.parent / "none"
    message = _refusal(source, output=folder / "model.shark")
    assert message == f"folder {folder} does not exist; make it first, or choose another with -o"


@pytest.mark.parametrize("force", [False, True])
def test_output_is_the_source(source: Path, force: bool) -> None:
    """Under its own name, and through a link."""
    link = source.with_name("link.gguf")
    link.symlink_to(source)
    for output in (source, link):
        message = _refusal(source, output=output, force=force)
        assert message == f"output {output} is the source itself; choose another name with -o"
