"""A program's torch module as the builder takes models: like what a recipe builds, its weights as they are stored."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sharkpack.bundler.model_spec.program_check import check_program
from sharkpack.bundler.sources.program.custom_model import CustomModel
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.layers.weights import Weight


class CustomCausalModel(CausalModel):
    """The user's module behind the interface of ours. Raises SharkpackError where it does not keep to the ABI."""

    plain_operators = True

    @torch.no_grad()
    def __init__(
        self, program: CustomModel, options: ModelOptions, layout: CacheLayout, weights: Mapping[str, Weight]
    ) -> None:
        super().__init__()
        self.program: Any = program.model
        self.vocab_size = program.vocab_size
        self.cache_layout = layout
        self.dim = check_program(program, options, layout.page_elements)
        self.weights = weights

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, cache = self.program.hidden(tokens, start_positions, seq_lens, page_ids, cache)
        return x, cache

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.program.head(x)
        return logits
