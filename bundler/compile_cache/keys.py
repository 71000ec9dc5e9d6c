"""Keys that name all that compiled code depends on, so that what is found under one is what would be made anew.

The key of a program is known without tracing it: it holds what `trace` reads, which is the model's state, the
options, the code of the recipes and kernels, and the versions of what runs them.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sharkpack.bundler.compiler import flags_of
from sharkpack.bundler.targets import Target
from sharkpack.templates.recipe import CausalModel, ModelOptions

PACKAGES = ("iree-base-compiler", "iree-turbine", "torch", "numpy")
SOURCES = ("formats", "templates", "bundler/compiler.py", "bundler/program.py", "bundler/targets.py")
"""The code that programs and modules are made by; folders with all that is in them."""

_OWN_CODE = ("sharkpack.templates.", "torch.nn.")
_FRAMEWORK_STATE = frozenset(vars(torch.nn.Module()))


class UnkeyableError(Exception):
    """A model has state, or code from elsewhere, that no key can stand for."""


def program_key(model: CausalModel, options: ModelOptions, batch_sizes: Iterable[int]) -> str | None:
    """The key of what `trace` makes of these; None when the model depends on more than can be told."""
    if os.environ.get("IREE_TOOL_PATH"):  # a compiler of the user's own, whose version is not known
        return None
    try:
        state = [_module_state(name, module) for name, module in model.named_modules(remove_duplicate=False)]
        return _digest("program", toolchain(), code_digest(), state, _plain(options), list(batch_sizes))
    except UnkeyableError:
        return None


def target_key(program: str, target: Target) -> str:
    """The key under which a program's module for a target is looked up, by the program's key."""
    return _digest("target", program, _plain(target.isa), list(flags_of(target)))


def module_key(text: str, target: Target) -> str:
    """The key of the module that the compiler makes of a linked program."""
    return _digest("module", toolchain(), text, list(flags_of(target)))


def toolchain() -> list[str]:
    """Versions of everything that turns a recipe into code."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    return [*versions, f"python {platform.python_version()}", platform.machine()]


@functools.cache
def code_digest() -> str:
    """The SHA-256 of the names and bytes of SOURCES, as they are installed."""
    root, digest = Path(__file__).parent.parent.parent, hashlib.sha256()
    for source in SOURCES:
        for path in _files_of(root / source):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _files_of(source: Path) -> list[Path]:
    """All but what Python keeps there of its own: under names that come and go while another process imports them."""
    if source.is_file():
        return [source]
    return sorted(path for path in source.rglob("*") if "__pycache__" not in path.parts and path.is_file())


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def _module_state(name: str, module: torch.nn.Module) -> list[Any]:
    kind = type(module)
    if not kind.__module__.startswith(_OWN_CODE):
        raise UnkeyableError(f"{kind.__module__}.{kind.__qualname__}")
    tensors = [
        [key, None if value is None else [str(value.dtype), list(value.shape)]]
        for group in (module._parameters, module._buffers)
        for key, value in group.items()
    ]
    own = {key: value for key, value in vars(module).items() if key not in _FRAMEWORK_STATE}
    return [name, f"{kind.__module__}.{kind.__qualname__}", tensors, _plain(own)]


def _plain(value: Any) -> Any:
    """`value` as JSON can hold it, different for different values; UnkeyableError for what has no such form."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return ["array", str(value.dtype), list(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Mapping):
        return ["mapping", *([_plain(key), _plain(item)] for key, item in value.items())]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_plain, value)]
    if isinstance(value, frozenset | set):
        return ["set", *sorted(map(json.dumps, map(_plain, value)))]
    if is_dataclass(value) and type(value).__module__.startswith("sharkpack."):
        return ["data", type(value).__qualname__, *_fields(value)]
    raise UnkeyableError(f"a {type(value).__name__}")


def _fields(value: Any) -> Iterator[list[Any]]:
    for field in fields(value):
        yield [field.name, _plain(getattr(value, field.name))]
