"""A program as MLIR text that no target is known to: a target's lowering computes its operators. Knows no torch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache as once

import zstandard

from sharkpack.bundler.compile.cache import CompileCache
from sharkpack.bundler.steps import Steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """MLIR text in torch's dialect or any other that the compiler takes.

    from_recipe: whether a recipe of ours was traced, whose code the tests have verified; others are verified when
        they are compiled.
    """

    text: str
    from_recipe: bool

    def to_bytes(self) -> bytes:
        """As the compile cache holds it."""
        return zstandard.compress(json.dumps(asdict(self)).encode())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Program":
        """The program of which `to_bytes` made this."""
        return cls(**json.loads(zstandard.decompress(data)))


def program_maker(
    trace: Callable[[], Program], key: str | None, cache: CompileCache | None, steps: Steps
) -> Callable[[], Program]:
    """A function that gives the program: the cache's where it has one under `key`, else traced, once.

    So a further target of a model that was built before needs neither torch nor its weights' shapes.
    """

    @once
    def make() -> Program:
        found = None if cache is None or key is None else cache.get(key)
        if found is not None:
            return Program.from_bytes(found)
        with steps("trace"):
            program = trace()
        if cache is not None and key is not None:
            cache.put(key, program.to_bytes(), "a program, for any target")
        return program

    return make
