"""A program as MLIR text that no target is known to: a target's lowering computes its operators. Knows no torch."""

from dataclasses import dataclass

PARAMETER_SCOPE = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """MLIR text in torch's dialect or any other that the compiler takes.

    from_recipe: whether a recipe of ours was traced, whose code the tests have verified; others are verified when
        they are compiled.
    """

    text: str
    entry_points: tuple[str, ...]
    from_recipe: bool
