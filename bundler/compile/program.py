"""A program: MLIR text that calls declared kernels, whose bodies it links for a target. Knows nothing of torch."""

from dataclasses import dataclass

from sharkpack.templates.kernels.isa import Isa
from sharkpack.templates.kernels.kernel import Kernel

PARAMETER_SCOPE = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """MLIR text (torch dialect, kernels declared) and the kernels it calls."""

    text: str
    kernels: tuple[Kernel, ...]
    entry_points: tuple[str, ...]

    def link(self, isa: Isa) -> str:
        """The program with the kernels' bodies for `isa`, as MLIR text that the compiler takes."""
        if not self.kernels:
            return self.text
        aliases, opening, body = self.text.partition("module @module {\n")
        head = [kernel.layout_alias for kernel in self.kernels]
        return "\n".join([*head, aliases + opening, *(kernel.render(isa) for kernel in self.kernels), body])
