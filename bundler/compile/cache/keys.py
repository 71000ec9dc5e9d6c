"""Keys that name all that compiled code depends on, so that what is found under one is what would be made anew.

The key of a program is known without tracing it: it holds what `trace` reads, which is the model's state, the
options, the code of the recipes and kernels, and the versions of what runs them.
"""

import functools
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sharkpack.bundler.compile.cache.digest import UnkeyableError, digest
from sharkpack.bundler.compile.compiler import flags_of
from sharkpack.bundler.compile.targets import Target
from sharkpack.templates.layers.model_options import ModelOptions

PACKAGES = ("iree-base-compiler", "iree-turbine", "torch", "numpy")
SOURCES = ("formats", "templates", "bundler/compile", "bundler/model_spec", "bundler/progress.py")
"""The code that model specs, programs and modules are made by; folders with all that is in them."""


def made_key(kind: str, *parts: Any) -> str | None:
    """The key of what our code makes of the parts; None where it depends on more than can be told."""
    if os.environ.get("IREE_TOOL_PATH"):  # a compiler of the user's own, whose version is not known
        return None
    try:
        return digest(kind, toolchain(), code_digest(), *parts)
    except UnkeyableError:
        return None


def program_key(state: str, options: ModelOptions, batch_sizes: Iterable[int]) -> str | None:
    """The key of what `trace` makes of a model in that state, if it has one."""
    return made_key("program", state, options, list(batch_sizes))


def target_key(program: str, target: Target) -> str:
    """The key under which a program's module for a target is looked up, by the program's key."""
    return digest("target", program, target.lowering, flags_of(target))


def module_key(text: str, target: Target) -> str:
    """The key of the module that the compiler makes of a linked program."""
    return digest("module", toolchain(), text, flags_of(target))


def toolchain() -> list[str]:
    """Versions of everything that turns a recipe into code."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return [*versions, f"python {platform.python_version()}", platform.machine()]


@functools.cache
def code_digest() -> str:
    """The SHA-256 of the names and bytes of SOURCES, as they are installed."""
    root, found = Path(__file__).parents[3], hashlib.sha256()
    for source in SOURCES:
        for path in _files_of(root / source):
            content = path.read_bytes()
            found.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return found.hexdigest()


def _files_of(source: Path) -> list[Path]:
    """All but what Python keeps there of its own: under names that come and go while another process imports them."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if "__pycache__" not in path.parts and path.is_file())
