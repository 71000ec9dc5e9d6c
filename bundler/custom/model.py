"""Custom programs as the builder takes models: like what a recipe builds, their weights as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sharkpack.bundler.custom.check import check_program
from sharkpack.bundler.custom.custom_program import CustomProgram
from sharkpack.bundler.custom.description import ProgramDescription
from sharkpack.bundler.custom.mlir_program import MlirProgram
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.recipe import CausalModel, ModelOptions
from sharkpack.templates.weights import StoredWeight


class CustomModel(CausalModel):
    """The user's module behind the interface of ours."""

    plain_operators = True

    def __init__(self, program: CustomProgram, source: SourceModel, options: ModelOptions) -> None:
        super().__init__()
        self.program: Any = program.model
        self.vocab_size = program.vocab_size
        self.cache_layout = _layout(program, options)
        self.dim = check_program(program, options, self.cache_layout.page_elements)
        self.weights = _weights(source, "program.")

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, cache = self.program.hidden(tokens, start_positions, seq_lens, page_ids, cache)
        return x, cache

    def head(self, x: Tensor) -> Tensor:
        logits: Tensor = self.program.head(x)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class MlirModel:
    """A program that needs no tracing."""

    program: MlirProgram
    cache_layout: CacheLayout
    weights: Mapping[str, StoredWeight] = field(repr=False)

    @property
    def vocab_size(self) -> int:
        return self.program.vocab_size


def build_custom(program: ProgramDescription, source: SourceModel, options: ModelOptions) -> CausalModel | MlirModel:
    """The model to trace, or to compile as it is. Raises SharkpackError where a module does not keep to the ABI."""
    if isinstance(program, MlirProgram):
        return MlirModel(program=program, cache_layout=_exact_layout(program, options), weights=_weights(source, ""))
    assert isinstance(program, CustomProgram)
    with torch.no_grad():
        return CustomModel(program, source, options)


def _exact_layout(program: MlirProgram, options: ModelOptions) -> CacheLayout:
    """Text cannot be given a larger page than it was written for."""
    layout = _layout(program, options)
    if layout.page_elements != program.page_elements:
        raise SharkpackError(
            f"{program.code.path}: page_elements is {program.page_elements}; expected a multiple of 2 * page_size: "
            f"let its pages have {layout.page_elements}"
        )
    return layout


def _layout(program: ProgramDescription, options: ModelOptions) -> CacheLayout:
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


def _weights(source: SourceModel, prefix: str) -> dict[str, StoredWeight]:
    """By the names that the program's code has for them."""
    return {
        f"{prefix}{name}": StoredWeight(
            name=f"{prefix}{name}",
            tensor=name,
            type_name=tensor.type_name.lower(),
            shape=tensor.shape,
            nbytes=tensor.nbytes,
        )
        for name, tensor in source.tensors.items()
    }
