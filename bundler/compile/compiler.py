"""Runs iree-compile: linked MLIR text in, a vmfb out, with the same bytes every time. Knows flags, not models."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from sharkpack.bundler.compile.targets import Target
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
        return _compile(text, flags)
    except _CompilerError as error:
        if not verify:
            return compile_module(text, target)
        raise SharkpackError(_explain(str(error), text, target)) from error


def _explain(log: str, text: str, target: Target) -> str:
    first = next((line for line in log.splitlines() if "error:" in line), "no diagnostic")
    return f"iree-compile failed for target {target.id}: {first.strip()[:300]} ({_keep(log, text)})"


def _keep(log: str, text: str) -> str:
    """Keep the program and the log where they can be read; a disk that is full, which may be what failed, keeps
    neither."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="sharkpack-compile-"))
        (folder / "program.mlir").write_text(text, encoding="utf-8")
        (folder / "log.txt").write_text(log, encoding="utf-8")
    except OSError as error:
        return f"program and log could not be kept in {tempfile.gettempdir()}: {error.strerror or error}"
    return f"program and whole log in {folder}"


class _CompilerError(Exception):
    """The compiler's diagnostics, and how it was called."""


def _compile(text: str, flags: Iterable[str]) -> bytes:
    command = [_program(), "-", *flags, "--mlir-print-op-on-diagnostic=false"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
    if done.returncode:
        raise _CompilerError(
            f"{done.stderr.decode(errors='replace')}\nexit status {done.returncode} of {shlex.join(command)}\n"
        )
    return done.stdout


def _program() -> str:
    """Find iree-compile: in IREE_TOOL_PATH, or in its package, which takes longer to import than to find."""
    package = importlib.util.find_spec("iree.compiler")
    own = [] if package is None else [f"{folder}/_mlir_libs" for folder in package.submodule_search_locations or ()]
    places = [place for place in (*os.environ.get("IREE_TOOL_PATH", "").split(os.pathsep), *own) if place]
    found = shutil.which("iree-compile", path=os.pathsep.join(places))
    if found is None:
        raise SharkpackError(f"no iree-compile in {', '.join(places)}: pip install 'sharkpack[build]'")
    return found
