"""Model specs as bytes: what is written is read again, equal arrays once; what is no spec is none, never an error."""

import json
from typing import Any

import numpy as np
import pytest

from sharkpack.bundler.model_spec import ModelSpec
from sharkpack.bundler.model_spec.cached import CachedSpec
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.layers.weights import PackedWeight, TableWeight, VectorWeight, Weight

LAYOUT = CacheLayout(dtype="f16", page_size=16, layers=2, kv_heads=2, key_head_dim=32, value_head_dim=32)
ORDER = np.arange(64)[::-1].copy()
WEIGHTS: list[Weight] = [
    PackedWeight(name="q", layout="q8_0", shape=(64, 128), row_order=ORDER),
    PackedWeight(name="k", layout="q8_0", shape=(64, 128), row_order=ORDER.copy(), part_of="qkv", first_row=64),
    PackedWeight(name="up", layout="f16", shape=(256, 128)),
    VectorWeight(name="norm", size=128),
    VectorWeight(name="bias", size=64, row_order=ORDER),
    TableWeight(name="rope", values=np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)),
]
CACHED = CachedSpec(
    spec=ModelSpec(
        vocab_size=320, cache_layout=LAYOUT, weights={weight.name: weight for weight in WEIGHTS}, state="a" * 64
    ),
    reads={"rope_freqs.weight": "b" * 64},
)


def test_what_is_written_is_read_again() -> None:
    found = CachedSpec.from_bytes(CACHED.to_bytes())
    assert found is not None
    spec = found.spec
    assert (spec.vocab_size, spec.cache_layout, spec.state) == (320, LAYOUT, "a" * 64)
    assert spec.make is None
    assert list(spec.weights) == [weight.name for weight in WEIGHTS]
    assert found.reads == CACHED.reads
    for weight in WEIGHTS:
        read = spec.weights[weight.name]
        assert type(read) is type(weight)
        assert (read.shape, read.type_name, read.nbytes) == (weight.shape, weight.type_name, weight.nbytes)
        for name in ("row_order", "values"):
            was, now = getattr(weight, name, None), getattr(read, name, None)
            assert (was is None) == (now is None)
            if was is not None and now is not None:
                assert now.dtype == was.dtype
                assert np.array_equal(now, was)
    part = spec.weights["k"]
    assert isinstance(part, PackedWeight)
    assert (part.tensor, part.first_row) == ("qkv", 64)
    assert found.to_bytes() == CACHED.to_bytes()


def test_equal_arrays_are_written_once() -> None:
    assert len(json.loads(CACHED.to_bytes())["arrays"]) == 2


DOCUMENT: dict[str, Any] = json.loads(CACHED.to_bytes())
CHANGES: tuple[dict[str, Any], ...] = (
    {"arrays": []},
    {"arrays": [["<i8", [64], "AAAA"], ["<f4", [3, 4], "!"]]},
    {"arrays": [["|O", [1], "AAAAAAAAAAA="]] * 2},
    {"cache_layout": {"dtype": "f16"}},
    {"reads": 1},
    {"weights": [{"kind": "StoredWeight"}]},
    {"weights": [{"kind": "VectorWeight", "name": "norm"}]},
    {"weights": [[]]},
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        CACHED.to_bytes()[:-1],
        *(json.dumps(DOCUMENT | change).encode() for change in CHANGES),
        *(json.dumps({key: value for key, value in DOCUMENT.items() if key != left}).encode() for left in DOCUMENT),
    ],
)
def test_what_is_no_spec_is_none(data: bytes) -> None:
    assert CachedSpec.from_bytes(data) is None
