"""The value that the factory of a user's program returns. Data only; docs/custom-programs.md has the protocol."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sharkpack.bundler.sources.program_description import ProgramDescription

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class LanguageModel(Protocol):
    """Protocol for a user's module; see `templates.recipe.CausalModel` for the arguments and their shapes."""

    def hidden(
        self, tokens: "Tensor", start_positions: "Tensor", seq_lens: "Tensor", page_ids: "Tensor", cache: "Tensor"
    ) -> "tuple[Tensor, Tensor]":
        """-> one row for each token [N * S, D] float32, cache."""

    def head(self, x: "Tensor") -> "Tensor":
        """Rows of `hidden` [rows, D] -> logits [rows, vocab_size] float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomModel(ProgramDescription):
    """A language model and its signature.

    model: a torch.nn.Module that is a LanguageModel; its parameters and persistent buffers are the weights.
    """

    model: LanguageModel = field(repr=False)
