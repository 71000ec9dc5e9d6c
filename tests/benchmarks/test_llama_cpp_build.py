"""The choice of the llama.cpp to build, and of its programs."""

from pathlib import Path

import pytest

from benchmarks import llama_cpp_build
from benchmarks.llama_cpp_build import NATIVE, WITH_AMX, WITHOUT_AMX, build_once, choose_variant, given
from benchmarks.processes import BenchmarkError


def test_amx_is_left_out_where_the_cpu_has_it() -> None:
    assert choose_variant(("avx2", "fma"), amx=False) == NATIVE
    assert choose_variant(("amx_tile", "avx2"), amx=False) == WITHOUT_AMX
    assert choose_variant(("amx_tile", "avx2"), amx=True) == WITH_AMX


def test_amx_needs_a_cpu_with_it() -> None:
    with pytest.raises(BenchmarkError, match="no AMX: leave --amx out"):
        choose_variant(("avx2",), amx=True)


def test_refuses_a_folder_without_the_programs(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"has no llama-bench, .*: build them"):
        given(tmp_path)


def test_a_build_that_was_interrupted_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_build, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no cmake: a build that begins says so
    programs = [tmp_path / variant.folder / "bin" / "llama-bench" for variant in (NATIVE, WITHOUT_AMX)]
    for program in programs:
        program.parent.mkdir(parents=True)
        program.touch()
    with pytest.raises(BenchmarkError, match="needs cmake"):
        build_once(tmp_path / "m.gguf")


def test_a_build_that_crashes_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_build, "CACHE", tmp_path)
    for variant in (NATIVE, WITHOUT_AMX):
        program = tmp_path / variant.folder / "bin" / "llama-bench"
        program.parent.mkdir(parents=True)
        program.write_text("#!/bin/sh\nkill -ILL $$\n", encoding="ascii")
        program.chmod(0o755)
        (tmp_path / variant.folder / "finished").touch()
    with pytest.raises(BenchmarkError, match=r"does not run here, give a working build by --llama-cpp: status -4 from"):
        build_once(tmp_path / "m.gguf")
