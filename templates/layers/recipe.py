"""Recipes, the models that they make, and the declaration of weights. No architecture is known here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.neutral_keys import is_neutral
from sharkpack.templates.layers.source import Source, TensorInfo
from sharkpack.templates.layers.weights import PackedWeight, TableWeight, VectorWeight, Weight


class WeightTable:
    """Collects the weights that a model declares while it is built, checking each against the source.

    Every method returns an empty tensor of the parameter's shape: a model is traced without its weights.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.weights: dict[str, Weight] = {}
        self._parts: dict[str, tuple[str, int, tuple[int, int]]] = {}

    def split(self, name: str, k: int, parts: Mapping[str, int]) -> None:
        """Let the rows of the source's matrix `name`, in that order, be the matrices `parts`: name -> rows."""
        self._tensor(name, (sum(parts.values()), k))
        first = 0
        for part, rows in parts.items():
            self._parts[part] = (name, first, (rows, k))
            first += rows

    def has(self, name: str) -> bool:
        return name in self.source.tensors

    def packed(self, name: str, n: int, k: int, row_order: NDArray[np.int64] | None = None) -> tuple[Tensor, str]:
        """Declare the [n, k] matrix `name`; returns the packed int8 parameter and its layout's name."""
        part_of, first_row, shape = self._parts.get(name, (None, 0, (n, k)))
        type_name = self.source.tensors[part_of].type_name if part_of else self._tensor(name, (n, k)).type_name
        assert shape == (n, k)
        return self._declare(name, type_name, (n, k), row_order, part_of, first_row)

    def experts(self, name: str, experts: int, n: int, k: int) -> tuple[Tensor, str]:
        """Declare the [experts, n, k] tensor `name` as one packed matrix; an expert's rows are whole tiles of 16."""
        require_multiple(f"the number of rows of an expert of {name}", n, 16)
        return self._declare(name, self._tensor(name, (experts, n, k)).type_name, (experts * n, k))

    def _declare(
        self,
        name: str,
        type_name: str,
        shape: tuple[int, int],
        row_order: NDArray[np.int64] | None = None,
        part_of: str | None = None,
        first_row: int = 0,
    ) -> tuple[Tensor, str]:
        layout = type_name.lower()
        if layout not in LAYOUTS:
            supported = ", ".join(sorted(key.upper() for key in LAYOUTS))
            raise SharkpackError(f"tensor '{name}' has type {type_name}; supported types: {supported}")
        weight = PackedWeight(
            name=name, layout=layout, shape=shape, row_order=row_order, part_of=part_of, first_row=first_row
        )
        self.weights[name] = weight
        return torch.empty(weight.nbytes, dtype=torch.int8), layout

    def vector(self, name: str, size: int, row_order: NDArray[np.int64] | None = None) -> Tensor:
        """Declare the vector `name`, which may be stored as a matrix of one row; returns the float32 parameter."""
        stored = self.source.tensors.get(name)
        self._tensor(name, (1, size) if stored is not None and tuple(stored.shape) == (1, size) else (size,))
        self.weights[name] = VectorWeight(name=name, size=size, row_order=row_order)
        return torch.empty(size)

    def table(self, name: str, values: NDArray[np.float32]) -> Tensor:
        self.weights[name] = TableWeight(name=name, values=values)
        return torch.from_numpy(values)

    def refuse_rest(self, ignored: frozenset[str] = frozenset()) -> None:
        """A tensor that nothing uses means that the model computes something the recipe does not."""
        used = set(self.weights) | {part_of for part_of, _, _ in self._parts.values()}
        rest = sorted(set(self.source.tensors) - used - ignored)
        if rest:
            shown = ", ".join(rest[:3]) + (f" and {len(rest) - 3} more" if len(rest) > 3 else "")
            raise SharkpackError(
                f"the {self.source.architecture} recipe has no use for tensor {shown}; "
                "this model differs from the architecture it declares"
            )

    def _tensor(self, name: str, shape: tuple[int, ...]) -> TensorInfo:
        if name not in self.source.tensors:
            raise SharkpackError(
                f"tensor '{self.source.stored_name(name)}' is missing; a {self.source.architecture} model has it"
            )
        tensor = self.source.tensors[name]
        if tuple(tensor.shape) != shape:
            raise SharkpackError(
                f"tensor '{self.source.stored_name(name)}' has shape {list(tensor.shape)}; "
                f"the hyperparameters call for {list(shape)}"
            )
        return tensor


def require_multiple(what: str, value: int, of: int) -> None:
    """Refuse a size that the kernels' vectors do not divide."""
    if value % of:
        raise SharkpackError(f"{what} is {value}; the kernels need a multiple of {of}")


def refuse_unknown_keys(source: Source, known: frozenset[str]) -> None:
    """Refuse a hyperparameter that the recipe does not read and that may change the maths."""
    prefix = source.architecture + "."
    for key in source.metadata:
        name = key.removeprefix(prefix)
        if key.startswith(prefix) and name not in known and not is_neutral(name, source.metadata[key]):
            raise SharkpackError(
                f"hyperparameter '{key}' = {source.metadata[key]!r} is not known to the {source.architecture} recipe"
            )


class CausalModel(torch.nn.Module):
    """The interface of what a recipe builds: shapes the ABI needs, the layers, and the head on top of them.

    tokens [N, S] i64, start_positions [N], seq_lens [N], page_ids [N, P] i64, cache [pages, page_elements]; the cache
    is returned as the call left it. S is 1 when decoding, and a symbol, not a number, when prefill is traced.
    plain_operators: whether it uses more of torch than recipes do, which a trace then has to decompose.
    """

    vocab_size: int
    dim: int
    cache_layout: CacheLayout
    weights: Mapping[str, Weight]
    plain_operators: bool = False

    def hidden(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> what the last layer makes of each token [N * S, dim], cache."""
        raise TypeError(f"{type(self).__name__} has no layers")

    def norm(self, x: Tensor) -> Tensor:
        """Rows of `hidden` [rows, dim] -> the same after the final norm, as prefill returns them and `head` takes them.

        A program's rows are its own: they stay as they are.
        """
        return x

    def head(self, x: Tensor) -> Tensor:
        """Rows of `norm` [rows, dim] -> logits [rows, vocab_size] float32."""
        raise TypeError(f"{type(self).__name__} has no head")

    def forward(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> logits [N, vocab_size] float32 of position seq_lens - 1, cache."""
        x, cache = self.hidden(tokens, start_positions, seq_lens, page_ids, cache)
        return self.head(self.norm(last_rows(x, tokens, start_positions, seq_lens))), cache


def is_step(tokens: Tensor) -> bool:
    """Returns whether tokens [N, S] are those of a decode step: S is 1, and no symbol, as in a traced prefill."""
    each = tokens.shape[1]
    return isinstance(each, int) and each == 1


def last_rows(x: Tensor, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor) -> Tensor:
    """x [N * S, k] -> the row [N, k] of each sequence's last valid token."""
    if is_step(tokens):
        return x
    count, each = tokens.shape
    at = torch.arange(count, dtype=torch.int64) * each + (seq_lens - 1 - start_positions)
    return torch.index_select(x, 0, at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One architecture: its name in GGUF and how to build its model from a source, refusing what it does not know."""

    name: str
    build: Callable[[Source, ModelOptions], CausalModel]
