"""The list of what each layer attends to, which newer configs have, against what a recipe computes."""

from collections.abc import Callable

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError


def refuse_other_layers(config: Metadata, expected: Callable[[int], str]) -> None:
    """SharkpackError where 'layer_types' has, for some layer, another type than the recipe gives it."""
    types = config.texts("layer_types", None)
    if types is None:
        return
    for layer, found in enumerate(types):
        if found != expected(layer):
            raise SharkpackError(
                f"{config.path}: layer {layer} is of type {found!r} in 'layer_types'; supported there: "
                f"{expected(layer)!r}"
            )
