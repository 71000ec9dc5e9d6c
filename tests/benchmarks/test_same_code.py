"""Code of two bundles, target by target."""

import zipfile
from pathlib import Path

import pytest

from benchmarks.processes import BenchmarkError
from benchmarks.same_code import code_of, main


def _bundle(path: Path, code: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        for target, data in code.items():
            archive.writestr(f"targets/{target}/module.vmfb", data)
    return str(path)


def test_the_same_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundles = [_bundle(tmp_path / name, {"x86-64-v3": b"one", "aarch64": b"two"}) for name in ("old", "new")]
    assert main(bundles) == 0
    assert [line.split(" | ")[-1] for line in capsys.readouterr().out.splitlines()[2:]] == ["same |", "same |"]


def test_other_code_and_missing_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = _bundle(tmp_path / "old", {"x86-64-v3": b"one", "aarch64": b"two"})
    new = _bundle(tmp_path / "new", {"x86-64-v3": b"other", "x86-64-v4": b"more"})
    assert main([old, new]) == 1
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == [["| aarch64", "3 -> none"], ["| x86-64-v3", "3 -> 5"], ["| x86-64-v4", "none -> 4"]]


def test_files_without_code(tmp_path: Path) -> None:
    empty, other = Path(_bundle(tmp_path / "empty", {})), tmp_path / "other"
    other.write_bytes(b"GGUF")
    with pytest.raises(BenchmarkError, match=r"empty has no code: no member ends in \.vmfb"):
        code_of(empty)
    with pytest.raises(BenchmarkError, match="other: File is not a zip file"):
        code_of(other)
