"""Quantised blocks against what the gguf package and llama.cpp make of the same weights, to the byte."""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant.block import Bytes, Floats
from sharkpack.formats.quantize import QUANTIZERS, quantize
from tests.formats.quantize.samples import sample_importance, sample_weights, weights_of_lost_scales

LLAMA_CPP = json.loads(Path(__file__).with_name("llama_cpp.json").read_text())
BY_GGUF = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")

# Root mean square error over that of normally distributed weights; a little above what each type reaches.
RELATIVE_ERROR = {
    "F32": 0,
    "F16": 0.00025,
    "BF16": 0.002,
    "Q8_0": 0.006,
    "Q6_K": 0.02,
    "Q5_K": 0.038,
    "Q5_1": 0.042,
    "Q5_0": 0.046,
    "Q4_K": 0.075,
    "Q4_1": 0.086,
    "Q4_0": 0.094,
    "Q3_K": 0.16,
    "Q2_K": 0.32,
}


def dequantized(name: str, blocks: Bytes) -> Floats:
    values: Floats = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[name])
    return values


def normal(rows: int = 32, columns: int = 1024, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(0, 0.02, (rows, columns)).astype(np.float32)


@pytest.mark.parametrize("name", BY_GGUF)
def test_bytes_are_those_of_the_gguf_package(name: str) -> None:
    heavy = np.random.default_rng(3).standard_cauchy((32, 1024)).astype(np.float32)
    sparse = normal()
    sparse[:, ::5] = 0
    sparse[3] = 0
    sparse[4], sparse[5] = 0.25, -0.25
    sparse[6, 32:64] *= np.float32(1e-30)
    for values in (normal(), heavy, sparse, np.round(normal() * 100) / np.float32(64)):
        expected = gguf.quants.quantize(values, gguf.GGMLQuantizationType[name])
        assert np.array_equal(quantize(name, values), np.ascontiguousarray(expected).view(np.uint8))


WEIGHTS = {
    "plain": sample_weights,
    "weighed": sample_weights,
    "lost": weights_of_lost_scales,
    "lost weighed": weights_of_lost_scales,
}

# llama.cpp weighs nothing in Q8_0, where an importance chooses the scale here.
KINDS = [(name, kind) for name in LLAMA_CPP for kind in WEIGHTS if name != "Q8_0" or "weighed" not in kind]


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_bytes_are_those_of_llama_cpp(name: str, kind: str) -> None:
    blocks = quantize(name, WEIGHTS[kind](), sample_importance() if "weighed" in kind else None)
    expected = LLAMA_CPP[name][kind]
    assert blocks[0, : QUANTIZERS[name].block_bytes].tobytes().hex() == expected["first"]
    assert hashlib.sha256(blocks.tobytes()).hexdigest() == expected["sha256"]


@pytest.mark.parametrize("name", list(QUANTIZERS))
def test_the_error_is_what_the_bits_allow(name: str) -> None:
    values = normal()
    error = dequantized(name, quantize(name, values)) - values
    relative = float(np.sqrt(np.square(error).mean() / np.square(values).mean()))
    assert 0.8 * RELATIVE_ERROR[name] <= relative <= RELATIVE_ERROR[name]


@pytest.mark.parametrize("name", [name for name in QUANTIZERS if QUANTIZERS[name].weigh is not None])
def test_an_importance_moves_the_error_to_where_it_matters_less(name: str) -> None:
    values = normal()
    importance = np.where(np.arange(1024) % 8 == 0, np.float32(100), np.float32(0.01))

    def error(blocks: Bytes) -> float:
        return float((np.square(dequantized(name, blocks) - values) * importance).sum())

    assert error(quantize(name, values, importance)) < 0.9 * error(quantize(name, values))


def weighed_q8_0(block: Floats, weights: Floats) -> bytes:
    """One block, by trying every scale that makes a whole code of the value with the largest weight."""
    smallest = np.float32(np.abs(block).max()) / np.float32(127)
    value = abs(block[weights.argmax()])
    most = int(value / smallest) if smallest else 0
    tried = [smallest, *(value / np.float32(code) for code in range(most, max(most - 16, 0), -1) if 2 * code >= most)]
    found: list[tuple[float, int, bytes]] = []
    for scale in np.array(tried, np.float32).astype(np.float16):
        inverse = np.float32(1) / np.float32(scale) if scale else np.float32(0)
        codes = np.clip(np.rint(block * inverse), -128, 127)
        error = float(np.square(codes * np.float32(scale) - block, dtype=np.float64) @ weights)
        found.append((error, len(found), scale.tobytes() + codes.astype(np.int8).tobytes()))
    return min(found)[2]


def test_a_weighed_q8_0_is_the_best_of_what_is_tried() -> None:
    random = np.random.default_rng(3)
    values = normal(rows=12)[:, :256]
    values[0], values[1], values[2, :32] = 0, values[1] * np.float32(1e-9), 0.25
    values[3] *= np.float32(1e-5)
    importance = (random.uniform(0.1, 1, 256) ** 8).astype(np.float32)
    made = quantize("Q8_0", values, importance).reshape(12, 8, 34)
    for row, blocks in zip(values, made, strict=True):
        for i, block in enumerate(blocks):
            at = slice(32 * i, 32 * i + 32)
            assert block.tobytes() == weighed_q8_0(row[at], importance[at])


@pytest.mark.parametrize("name", list(QUANTIZERS))
@pytest.mark.parametrize("weighed", [False, True])
def test_slabs_of_rows_give_the_bytes_of_the_whole(name: str, weighed: bool) -> None:
    values = normal(rows=9)
    importance = sample_importance(1024) if weighed else None
    parts = [quantize(name, values[start : start + 2], importance) for start in range(0, 9, 2)]
    assert np.array_equal(np.concatenate(parts), quantize(name, values, importance))


@pytest.mark.parametrize("name", list(QUANTIZERS))
def test_zeros_and_constants_come_back(name: str) -> None:
    values = np.zeros((4, 256), np.float32)
    values[1], values[2], values[3, :32] = 0.5, -0.5, 0.5
    back = dequantized(name, quantize(name, values))
    assert np.array_equal(back[0], values[0])
    assert np.allclose(back, values, atol=0.02)


@pytest.mark.parametrize("name", [name for name in QUANTIZERS if name not in ("F32", "F16", "BF16")])
@pytest.mark.parametrize("size", [1e-12, 1e-38, 1e-41, 1e-45])
def test_numbers_too_small_for_a_scale_become_zeros(name: str, size: float) -> None:
    values = (np.random.default_rng(0).uniform(-1, 1, (2, 256)) * size).astype(np.float32)
    for importance in (None, sample_importance(256)):
        back = dequantized(name, quantize(name, values, importance))
        assert np.abs(back).max() <= 1e-7


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused(value: float) -> None:
    values = normal()
    values[20, 1000] = value
    with pytest.raises(SharkpackError, match=r"^The weights hold a value that is not a finite number\.$"):
        quantize("Q8_0", values)


def test_a_value_too_large_for_float16_is_refused() -> None:
    with pytest.raises(SharkpackError, match=r"^The weights hold 70000\.0, which F16 cannot; choose BF16 or F32\.$"):
        quantize("F16", np.array([[1, -70000]], np.float32))


def test_rows_types_and_importances_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SharkpackError, match=r"^Rows of 96 are not whole Q4_K blocks of 256\.$"):
        quantize("Q4_K", np.zeros((1, 96), np.float32))
    with pytest.raises(SharkpackError, match=r"^An importance of 3 columns cannot weigh rows of 32\.$"):
        quantize("Q8_0", np.zeros((1, 32), np.float32), np.ones(3, np.float32))
    with pytest.raises(SharkpackError, match=r"^Nothing can be quantised to IQ1_S here; choose one of F32, F16, BF16"):
        quantize("IQ1_S", np.zeros((1, 256), np.float32))
