"""Runs iree-compile: linked MLIR text in, a vmfb out, with the same bytes every time. Knows flags, not models."""

import functools
import platform
import re
import tempfile
from pathlib import Path

import iree.compiler as iree_compiler
from iree.compiler.tools.binaries import CompilerToolError

from sharkpack.bundler.targets import Target
from sharkpack.formats.errors import SharkpackError

REPRODUCIBLE = (
    "--iree-llvmcpu-debug-symbols=false",
    "--iree-vm-bytecode-module-strip-source-map=true",
    "--iree-vm-emit-polyglot-zip=false",
)
"""Flags without which the module would carry names of this machine or a wrapper that bundles have already."""

UNVERIFIED = "--verify=false"


def flags_of(target: Target) -> tuple[str, ...]:
    """All flags that a target's module is compiled with."""
    return (*target.flags, *REPRODUCIBLE)


def compile_module(text: str, target: Target, *, verify: bool = True) -> bytes:
    """The vmfb of a linked program. Raises SharkpackError with the first diagnostic; the rest is kept in a file.

    verify: have the compiler check its own work after each pass. The bytes are the same; a quarter of the time goes
    into it.
    """
    flags = [*flags_of(target), *([] if verify else [UNVERIFIED])]
    try:
        return bytes(iree_compiler.compile_str(text, extra_args=flags))
    except CompilerToolError as error:
        if not verify:
            return compile_module(text, target)
        raise SharkpackError(_explain(str(error), text, target)) from error


def _explain(log: str, text: str, target: Target) -> str:
    first = next((line for line in log.splitlines() if "error:" in line), "no diagnostic")
    return f"iree-compile failed for target {target.id}: {first.strip()[:300]} ({_keep(log, text)})"


def _keep(log: str, text: str) -> str:
    """Where the program and the log can be read; a disk that is full, which may be what failed, keeps neither."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="sharkpack-compile-"))
        (folder / "program.mlir").write_text(text, encoding="utf-8")
        (folder / "log.txt").write_text(log, encoding="utf-8")
    except OSError as error:
        return f"program and log could not be kept in {tempfile.gettempdir()}: {error.strerror or error}"
    return f"program and whole log in {folder}"


@functools.cache
def host_cpu() -> tuple[str, frozenset[str]]:
    """(architecture, features in LLVM's names) of this machine, as the compiler sees it."""
    flags = ["--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu"]
    flags += ["--iree-llvmcpu-target-cpu=host", "--compile-to=flow"]
    text = iree_compiler.compile_str("util.func public @empty() { util.return }", extra_args=flags).decode()
    listed = re.search(r'cpu_features = "([^"]*)"', text)
    names = listed.group(1).split(",") if listed else []
    machine = platform.machine().lower()
    architecture = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    return architecture, frozenset(name[1:] for name in names if name.startswith("+"))
