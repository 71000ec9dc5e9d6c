"""Modules of a program: taken from the compile cache where they are, else traced once and compiled for each target."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.cache.keys import module_key, target_key
from sharkpack.bundler.compile.compiler import compile_module
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.compile.targets import Target
from sharkpack.bundler.progress import Steps
from sharkpack.templates.lowering.lowering import link


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """Code for one target, the seconds it took to get, and whether it came from the cache."""

    target: Target
    code: bytes
    seconds: float
    cached: bool


def compile_targets(
    targets: Sequence[Target],
    program: Callable[[], ProgramText],
    program_key: str | None,
    cache: CompileCache | None,
    steps: Steps,
) -> list[Module]:
    """One module for each target; without a `cache`, all of them made anew.

    program: called only where the cache lacks a module. program_key: of what it gives, or None where that is its own
    key.
    """
    found = {target.id: _find(cache, program_key, target) for target in targets}
    return [found[target.id] or _make(program(), target, cache, program_key, steps) for target in targets]


def compile_target(program: ProgramText, target: Target, cache: CompileCache | None) -> tuple[bytes, str, bool]:
    """A program's module for a target, the key that the cache has it under, and whether it was there.

    What a recipe's trace and our kernels become is not verified at each step: tests are for that. A program of somebody
    else is.
    """
    text = link(program.text, target.lowering)
    key = module_key(text, target)
    code = None if cache is None else cache.get(key)
    if code is not None:
        return code, key, True
    code = compile_module(text, target, verify=not program.from_recipe)
    if cache is not None:
        cache.put(key, code, f"code for {target.id}")
    return code, key, False


def _find(cache: CompileCache | None, program: str | None, target: Target) -> Module | None:
    """Look a module up by the program's key, which needs no trace: it leads to the key of the module."""
    if cache is None or program is None:
        return None
    start = time.perf_counter()
    pointer = cache.get(target_key(program, target))
    code = None if pointer is None else cache.get(pointer.decode("ascii"))
    if code is None:
        return None
    return Module(target=target, code=code, seconds=time.perf_counter() - start, cached=True)


def _make(
    program: ProgramText, target: Target, cache: CompileCache | None, program_key: str | None, steps: Steps
) -> Module:
    """Compile by the text of the program, which is the same for many a program's key."""
    with steps(f"compile {target.id}"):
        start = time.perf_counter()
        code, key, cached = compile_target(program, target, cache)
        if cache is not None and program_key is not None:
            cache.put(target_key(program_key, target), key.encode("ascii"), f"which code a model has for {target.id}")
        return Module(target=target, code=code, seconds=time.perf_counter() - start, cached=cached)
