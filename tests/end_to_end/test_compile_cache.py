"""Builds with the compile cache: what is found saves trace and compile, and the bundle is the same, byte for byte.

Two processes that build at once fill the cache; other tests work on copies of it. Compiling takes seconds, so where
code has to be made anew once more, the compiler's part is played by what it made before.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.compile.compiler import compile_module
from sharkpack.bundler.compile.targets import TARGETS
from sharkpack.formats.archive.reader import Archive
from sharkpack.templates.lowering.lowering import link
from tests.end_to_end.command_line import SHARKPACK, build, python
from tests.tiny_models import write_tiny_gguf

OPTIONS = ("--batch-sizes", "1", "--context", "64", "--target", "x86-64-v2", "--force")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("cached") / "tiny.gguf", quantization="F32", layers=1)


@pytest.fixture(scope="module")
def filled(tiny: Path) -> Path:
    """The cache after two concurrent builds; their bundles are beside it."""
    folder = tiny.with_name("cache")
    command = [*SHARKPACK, "build", str(tiny), *OPTIONS, "--quiet", "-o"]
    environment = {**os.environ, "SHARKPACK_CACHE_DIR": str(folder)}
    processes = [
        subprocess.Popen([*command, str(output)], stderr=subprocess.PIPE, text=True, env=environment)
        for output in _outputs(folder)
    ]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the filled cache, in use."""
    monkeypatch.setenv("SHARKPACK_CACHE_DIR", str(tmp_path / "cache"))
    return Path(shutil.copytree(filled, tmp_path / "cache"))


@pytest.fixture
def compiler(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plays the compiler, fast."""
    code = _module(_outputs(filled)[0])
    monkeypatch.setattr(
        "sharkpack.bundler.compile.compile_targets.compile_module", lambda text, target, *, verify: code
    )


def _outputs(cache: Path) -> list[Path]:
    return [cache.with_name("one.shark"), cache.with_name("two.shark")]


def _module(path: Path) -> bytes:
    with Archive.open(path) as archive:
        return bytes(archive.view(archive.manifest.targets[0].path))


def _report(source: Path, output: Path, capfd: pytest.CaptureFixture[str], *options: str) -> Mapping[str, Any]:
    capfd.readouterr()
    assert build(source, "-o", output, *OPTIONS, "--json", *options) == 0
    captured = capfd.readouterr()
    report: Mapping[str, Any] = json.loads(captured.out)
    assert captured.err == "".join(f"warning: {warning}\n" for warning in report["warnings"])
    return report


def _found(report: Mapping[str, Any]) -> tuple[bool, bool]:
    """Returns whether the module was found, and whether the model was traced."""
    (target,) = report["targets"]
    return target["cached"], "trace" in report["step_seconds"]


def test_builds_with_and_without_a_cache_are_the_same(
    tiny: Path, filled: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(entries) == 4  # the model spec, the program, which code it has, the code
    output = tmp_path / "tiny.shark"
    assert _found(_report(tiny, output, capfd, "--no-cache")) == (False, True)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == entries
    without = output.read_bytes()
    assert _found(_report(tiny, output, capfd)) == (True, False)
    assert [path.read_bytes() == without for path in (output, *_outputs(filled))] == [True, True, True]


def test_a_build_whose_code_is_found_loads_neither_torch_nor_the_compiler(
    tiny: Path, filled: Path, folder: Path, tmp_path: Path
) -> None:
    program = """
import sys
from sharkpack.cli.main import main
assert main(["build", *sys.argv[1:]]) == 0
print(*(name for name in ("torch", "iree.compiler", "iree.turbine", "transformers") if name in sys.modules))
"""
    assert python(program, tiny, *OPTIONS, "--quiet", "-o", tmp_path / "tiny.shark") == "\n"
    assert (tmp_path / "tiny.shark").read_bytes() == _outputs(filled)[0].read_bytes()


def test_a_bundle_holds_the_program_that_its_code_was_compiled_from(filled: Path, tmp_path: Path) -> None:
    with Archive.open(_outputs(filled)[0]) as archive:
        (target,) = archive.manifest.targets
        stored = archive.manifest.program
        assert stored is not None
        assert stored.calls is not None
        declared = json.loads(archive.read(stored.calls))
        text, code = archive.read(stored.path).decode(), archive.read(target.path)
    assert [each["name"] for each in declared] == ["attend", "embedding", "gated", "matmul", "rms_norm"]
    assert [(each.name, each.version) for each in stored.operators] == [(d["name"], d["version"]) for d in declared]
    lowering = TARGETS[target.id].lowering
    assert compile_module(link(text, lowering), TARGETS[target.id], verify=False) == code


def test_the_program_can_be_left_out(
    tiny: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tiny.shark"
    assert _found(_report(tiny, output, capfd, "--no-program")) == (True, False)
    with Archive.open(output) as archive:
        assert archive.manifest.program is None
        assert not [path for path in archive.members if path.startswith("program/")]


def test_another_target_of_a_cached_model_is_compiled_without_torch(tiny: Path, folder: Path, tmp_path: Path) -> None:
    """And another precision of the same target: both are made of the program that the first build traced."""
    program = """
import sys
from sharkpack.cli.main import main
assert main(["build", *sys.argv[1:]]) == 0
print(*(name for name in ("torch", "iree.turbine") if name in sys.modules))
"""
    for options in (("--target", "aarch64"), ("--activations", "float32")):
        assert python(program, tiny, *OPTIONS, *options, "--quiet", "-o", tmp_path / "tiny.shark") == "\n"


@pytest.mark.usefixtures("compiler")
def test_for_another_batch_size_the_model_is_made_after_all(
    tiny: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its spec is found, its code is not."""
    assert _found(_report(tiny, tmp_path / "tiny.shark", capfd, "--batch-sizes", "2")) == (False, True)
    assert len(list(folder.iterdir())) == 7


def test_another_vocabulary_and_template_take_the_same_code(
    filled: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    texts = {"general.name": "Renamed", "tokenizer.chat_template": "{{ messages[0]['content'] }}"}
    renamed = write_tiny_gguf(tmp_path / "renamed.gguf", quantization="F32", layers=1, seed=1, metadata=texts)
    output = tmp_path / "renamed.shark"
    assert _found(_report(renamed, output, capfd)) == (True, False)
    assert output.read_bytes() != _outputs(filled)[0].read_bytes()
    assert _module(output) == _module(_outputs(filled)[0])


def test_the_same_program_by_other_code_is_found_after_its_trace(
    tiny: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of a recipe may leave the program as it was."""
    monkeypatch.setattr("sharkpack.bundler.compile.cache.keys.code_digest", lambda: "changed")
    assert _found(_report(tiny, tmp_path / "tiny.shark", capfd)) == (True, True)
    assert _found(_report(tiny, tmp_path / "tiny.shark", capfd)) == (True, False)


@pytest.mark.usefixtures("compiler")
def test_another_program_is_not_found(
    tiny: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _found(_report(tiny, tmp_path / "tiny.shark", capfd, "--page-size", "16")) == (False, True)
    assert len(list(folder.iterdir())) == 8


@pytest.mark.usefixtures("compiler")
def test_damaged_entries_are_made_anew(
    tiny: Path, folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    for path, content in whole.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    report = _report(tiny, tmp_path / "tiny.shark", capfd)
    assert _found(report) == (False, True)
    assert report["warnings"] == []
    assert {path: path.read_bytes() for path in folder.iterdir()} == whole


@pytest.mark.usefixtures("compiler")
def test_a_folder_that_cannot_be_used_is_a_warning(
    tiny: Path, filled: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("SHARKPACK_CACHE_DIR", str(tmp_path / "file" / "cache"))
    report = _report(tiny, tmp_path / "tiny.shark", capfd)
    assert _found(report) == (False, True)
    assert report["warnings"] == [f"the compile cache {tmp_path / 'file' / 'cache'} cannot be used: Not a directory"]
    assert (tmp_path / "tiny.shark").read_bytes() == _outputs(filled)[0].read_bytes()
