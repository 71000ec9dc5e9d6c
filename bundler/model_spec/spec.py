"""A model without its layers: as much as plans, parameter files and manifests are made from. Data only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.weights import Weight

if TYPE_CHECKING:
    from sharkpack.templates.layers.recipe import CausalModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """vocab_size: logits. weights: by name, in the order in which they are stored.

    state: what stands in keys for all that a trace reads of the model; None where nothing can stand for it.
    make: gives the model itself, to be traced or run; None of a program that needs no tracing.
    """

    vocab_size: int
    cache_layout: CacheLayout
    weights: Mapping[str, Weight] = field(repr=False)
    state: str | None = None
    make: "Callable[[], CausalModel] | None" = field(default=None, repr=False)
