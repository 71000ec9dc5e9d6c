"""Notes on types whose weights grow when packed, and none on others."""

import pytest

from sharkpack.bundler.pipeline.packed_sizes import packed_size_notes
from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.layers.weights import PackedWeight, VectorWeight

GROW = {"iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "tq1_0"}


def _weight(layout: str, rows: int = 512) -> PackedWeight:
    return PackedWeight(name=f"{layout}.{rows}", layout=layout, shape=(rows, 1024))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_types_that_grow_are_named(layout: str) -> None:
    notes = packed_size_notes([_weight(layout), VectorWeight(name="norm", size=1024)])
    assert len(notes) == (layout in GROW)
    assert all(note.startswith(f"weights of type {layout.upper()} grow by ") for note in notes)


def test_a_note_counts_all_weights_of_the_type() -> None:
    weights = [_weight("iq2_xs"), _weight("q8_0"), _weight("tq1_0"), _weight("iq2_xs", 1536)]
    assert packed_size_notes(weights) == (
        "weights of type IQ2_XS grow by 57 %, from 0.606 to 0.95 MB: "
        "kernels read them as codes of 3 bits and their scales",
        "weights of type TQ1_0 grow by 26 %, from 0.111 to 0.139 MB: "
        "kernels read them as codes of 2 bits and their scales",
    )


def test_rows_that_fill_up_a_tile_count() -> None:
    assert packed_size_notes([_weight("q8_0", 13)])
    assert not packed_size_notes([_weight("q8_0", 15)])
