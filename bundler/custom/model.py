"""A custom program as the builder takes models: like what a recipe builds, its weights plain tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sharkpack.bundler.custom.check import check_program
from sharkpack.bundler.custom.custom_program import CustomProgram
from sharkpack.bundler.custom.factory import weights_of
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.recipe import CausalModel, ModelOptions
from sharkpack.templates.weights import TableWeight


class CustomModel(CausalModel):
    """The user's module behind the interface of ours."""

    plain_operators = True

    def __init__(self, program: CustomProgram, options: ModelOptions) -> None:
        super().__init__()
        self.program: Any = program.model
        self.vocab_size = program.vocab_size
        self.cache_layout = _layout(program, options)
        self.dim = check_program(program, options, self.cache_layout.page_elements)
        self.weights = {
            f"program.{name}": TableWeight(name=f"program.{name}", values=_values(tensor))
            for name, tensor in weights_of(program).items()
        }

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, cache = self.program.hidden(tokens, start_positions, seq_lens, page_ids, cache)
        return x, cache

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.program.head(x)
        return logits


def build_custom(program: CustomProgram, options: ModelOptions) -> CausalModel:
    """The model to trace. Raises SharkpackError where the program does not keep to the ABI."""
    with torch.no_grad():
        return CustomModel(program, options)


def _layout(program: CustomProgram, options: ModelOptions) -> CacheLayout:
    """One layer of one head, its size rounded up: what is in a page is the program's own business."""
    width = -(-program.page_elements // (2 * options.page_size))
    return CacheLayout(
        dtype=options.cache_dtype,
        page_size=options.page_size,
        layers=1,
        kv_heads=1,
        key_head_dim=width,
        value_head_dim=width,
    )


def _values(tensor: Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    values: np.ndarray[Any, np.dtype[np.float32]] = tensor.detach().contiguous().numpy()
    return values
