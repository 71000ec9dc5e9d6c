"""What the factory of a user's program returns. Data only; docs/custom-programs.md has the protocol."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class LanguageModel(Protocol):
    """What is asked of a module; see `templates.recipe.CausalModel` for the arguments and their shapes."""

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> one row for each token [N * S, D] float32, cache."""

    def head(self, x: Tensor) -> Tensor:
        """Rows of `hidden` [rows, D] -> logits [rows, vocab_size] float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomProgram:
    """A language model and its signature.

    model: a torch.nn.Module that is a LanguageModel; its parameters and persistent buffers are float32.
    page_elements, page_size: numbers that a page of the cache holds, and the tokens that it stands for.
    tokenizer: a folder with tokenizer.json; None is one token a byte, of which the first 256 ids are made.
    """

    model: LanguageModel = field(repr=False)
    name: str
    vocab_size: int
    context_length: int
    page_elements: int
    page_size: int = 32
    cache_dtype: Literal["f16", "f32"] = "f32"
    tokenizer: Path | None = None
    license: str | None = None
