"""A program as MLIR text that no target is known to: a target's lowering computes its operators. Knows no torch."""

import json
from dataclasses import asdict, dataclass

import zstandard


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramText:
    """MLIR text in torch's dialect or any other that the compiler takes.

    from_recipe: whether a recipe of ours was traced, whose code the tests have verified; others are verified when
        they are compiled.
    """

    text: str
    from_recipe: bool

    def to_bytes(self) -> bytes:
        """The program in the form of the compile cache."""
        return zstandard.compress(json.dumps(asdict(self)).encode())

    @classmethod
    def from_bytes(cls, data: bytes) -> "ProgramText":
        """The program of which `to_bytes` made this."""
        return cls(**json.loads(zstandard.decompress(data)))
