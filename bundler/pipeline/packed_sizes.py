"""Types of weights that take more room packed than in the source, and how much: to be said before it surprises."""

from collections import Counter
from collections.abc import Iterable

from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.layers.weights import PackedWeight, Weight

WORTH_SAYING = 1.15


def packed_size_notes(weights: Iterable[Weight]) -> tuple[str, ...]:
    """A sentence for each type whose weights grow by more than 15 % in all."""
    stored, packed = Counter[str](), Counter[str]()
    for weight in weights:
        if isinstance(weight, PackedWeight):
            stored[weight.layout] += LAYOUTS[weight.layout].quant.nbytes(weight.shape[0] * weight.shape[1])
            packed[weight.layout] += weight.nbytes
    return tuple(
        _note(layout, stored[layout], packed[layout])
        for layout in sorted(packed)
        if packed[layout] > WORTH_SAYING * stored[layout]
    )


def _note(layout: str, stored: int, packed: int) -> str:
    grown = f"{100 * (packed / stored - 1):.0f} %"
    how = f"kernels read them as codes of {LAYOUTS[layout].bits} bits and their scales"
    return f"weights of type {layout.upper()} grow by {grown}, from {stored / 1e6:.3g} to {packed / 1e6:.3g} MB: {how}"
