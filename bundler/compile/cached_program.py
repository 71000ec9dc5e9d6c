"""Takes a program from the compile cache, or traces it and keeps it there."""

from collections.abc import Callable
from functools import cache as once

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.compile.program import ProgramText
from sharkpack.bundler.progress import Steps


def program_maker(
    trace: Callable[[], ProgramText], key: str | None, cache: CompileCache | None, steps: Steps
) -> Callable[[], ProgramText]:
    """A function that gives the program: the cache's where it has one under `key`, else traced, once.

    So a further target of a model that was built before needs neither torch nor its weights' shapes.
    """

    @once
    def make() -> ProgramText:
        found = None if cache is None or key is None else cache.get(key)
        if found is not None:
            return ProgramText.from_bytes(found)
        with steps("trace"):
            program = trace()
        if cache is not None and key is not None:
            cache.put(key, program.to_bytes(), "a program, for any target")
        return program

    return make
