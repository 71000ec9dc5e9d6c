"""The compiler's runs: the same bytes every time, nothing of this machine in them; a failure is one line and a log."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sharkpack.bundler.compile.compiler import compile_module, flags_of
from sharkpack.bundler.compile.targets import TARGETS, best_of_host
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.host.cpu import host_cpu

ADD = """
module @module {
  func.func @add(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
    %sum = arith.addf %a, %b : tensor<?xf32>
    return %sum : tensor<?xf32>
  }
}
"""


def test_the_same_text_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it runs; and other kernels' CPUs give others."""
    target = TARGETS["x86-64-v3"]
    first = compile_module(ADD, target)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert compile_module(ADD, target) == first
    assert compile_module(ADD, TARGETS["x86-64-v4"]) != first
    assert not list(tmp_path.iterdir())
    assert b"/tmp/" not in first
    assert str(Path.home()).encode() not in first


def test_verifying_changes_no_byte() -> None:
    """Nor in a model: tests/end_to_end/test_export.py has iree-compile, which verifies, make a bundle's code again."""
    target = TARGETS["x86-64-v3"]
    assert compile_module(ADD, target, verify=False) == compile_module(ADD, target)


def test_every_target_compiles() -> None:
    assert all(compile_module(ADD, target) for target in (TARGETS["aarch64"], TARGETS["x86-64-v4-vnni"]))


def test_flags_are_the_targets_and_the_reproducible_ones() -> None:
    target = TARGETS["x86-64-v2"]
    assert flags_of(target)[: len(target.flags)] == target.flags
    assert "--iree-llvmcpu-debug-symbols=false" in flags_of(target)


@pytest.mark.parametrize("verify", [True, False])
def test_a_failure_is_one_line_and_keeps_the_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verify: bool) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken = ADD.replace("arith.addf", "arith.addx")
    with pytest.raises(SharkpackError) as error:
        compile_module(broken, TARGETS["x86-64-v2"], verify=verify)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("iree-compile failed for target x86-64-v2: ")
    assert "arith.addx" in message
    (folder,) = tmp_path.glob("sharkpack-compile-*")
    assert f"(program and whole log in {folder})" in message
    assert (folder / "program.mlir").read_text() == broken
    log = (folder / "log.txt").read_text()
    assert "arith.addx" in log
    assert re.search(r"iree-llvmcpu-target-cpu=x86-64-v2", log), "the log says what was run"


def test_a_compiler_of_the_users_own_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "iree-compile"
    own.write_text("#!/bin/sh\ncat >/dev/null\nprintf own\n")
    own.chmod(0o755)
    monkeypatch.setenv("IREE_TOOL_PATH", str(tmp_path))
    assert compile_module(ADD, TARGETS["x86-64-v2"]) == b"own"
    own.unlink()
    assert compile_module(ADD, TARGETS["x86-64-v2"]) != b"own"


def test_the_compiler_sees_the_host_as_the_probe_does() -> None:
    """In all that targets require: so a build for the host is for what `sharkpack devices` lists."""
    host = host_cpu()
    here = [target for target in TARGETS.values() if target.architecture == host.architecture]
    required = {name for target in here for name in target.cpu_features}
    seen = _features_by_compiler()
    assert required & seen == required & host.features
    assert best_of_host(host.architecture, seen) is best_of_host(host.architecture, host.features)


def _features_by_compiler() -> frozenset[str]:
    """LLVM's names of the features that iree-compile finds here, by what it writes of a host target."""
    flags = ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu")
    host = replace(
        TARGETS["x86-64-v2"], flags=(*flags, "--iree-llvmcpu-target-cpu=host", "--compile-to=flow"), cpu_features=()
    )
    listed = re.search(rb'cpu_features = "([^"]*)"', compile_module("util.func public @empty() { util.return }", host))
    assert listed is not None
    return frozenset(name[1:] for name in listed[1].decode().split(",") if name.startswith("+"))
