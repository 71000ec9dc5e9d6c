"""Every GGML type against the gguf package, bit for bit, on random and on hostile blocks."""

from collections.abc import Iterator

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.quant import QUANT_TYPES, block_values, dequantize, quant_type
from sharkpack.formats.quant.codebooks import codebook, signs_of_seven

NAMES = tuple(QUANT_TYPES)
F16_SPECIALS = (0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7C01, 0x3C00)
HALVES = {  # where a block's float16 parameters lie
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q2_K": (80, 82),
    "Q3_K": (108,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ2_XXS": (0,),
    "IQ2_XS": (0,),
    "IQ2_S": (0,),
    "IQ3_XXS": (0,),
    "IQ3_S": (0,),
    "IQ1_S": (0,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
    "TQ1_0": (52,),
    "TQ2_0": (64,),
}


def bits_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    return values.view(np.uint32)


def oracle(name: str, raw: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
    with np.errstate(all="ignore"):
        rows = raw.reshape(shape[0], -1)
        values: NDArray[np.float32] = gguf.quants.dequantize(rows, gguf.GGMLQuantizationType[name])
    return np.ascontiguousarray(values).reshape(shape)


def hostile_blocks(name: str) -> Iterator[NDArray[np.uint8]]:
    """Blocks of one byte repeated, and random codes under every pair of special float16 parameters."""
    quant = QUANT_TYPES[name]
    random = np.random.default_rng(7)
    for fill in (0x00, 0xFF, 0x80, 0x7F, 0x55, 0xAA, 0x01):
        yield np.full(quant.block_bytes, fill, np.uint8)
    for first in F16_SPECIALS:
        for second in F16_SPECIALS:
            block = random.integers(0, 256, quant.block_bytes, np.uint8)
            for offset, value in zip(HALVES.get(name, ()), (first, second), strict=False):
                block[offset : offset + 2] = np.frombuffer(value.to_bytes(2, "little"), np.uint8)
            if name == "IQ1_M":  # its scale lies in four nibbles
                block[49:56:2] = (block[49:56:2] & 15) | [(first >> shift & 15) << 4 for shift in (0, 4, 8, 12)]
            yield block
    if name == "MXFP4":  # every scale there is
        for exponent in range(256):
            yield np.r_[np.uint8(exponent), random.integers(0, 256, 16, np.uint8)]


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_ids_are_those_of_gguf(name: str) -> None:
    quant, ggml = QUANT_TYPES[name], gguf.GGMLQuantizationType[name]
    assert quant.name == name
    assert quant.ggml_id == ggml.value
    assert (quant.block, quant.block_bytes) == gguf.GGML_QUANT_SIZES[ggml]
    assert quant.nbytes(7 * quant.block) == 7 * quant.block_bytes


@pytest.mark.supports("type")
@pytest.mark.parametrize("type", NAMES)
def test_random_bytes_dequantize_as_in_gguf(type: str) -> None:
    shape = (19, 512)
    raw = np.random.default_rng(1).integers(0, 256, QUANT_TYPES[type].nbytes(19 * 512), np.uint8)
    assert np.array_equal(bits_of(dequantize(type, raw, shape)), bits_of(oracle(type, raw, shape)))


@pytest.mark.parametrize("name", NAMES)
def test_hostile_blocks_dequantize_as_in_gguf(name: str) -> None:
    raw = np.stack(list(hostile_blocks(name)))
    shape = (len(raw), QUANT_TYPES[name].block)
    assert np.array_equal(bits_of(dequantize(name, raw, shape)), bits_of(oracle(name, raw, shape)))


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_larger_than_a_slab_is_whole(name: str) -> None:
    quant = QUANT_TYPES[name]
    shape = (1050, 1024)
    raw = np.random.default_rng(2).integers(0, 256, quant.nbytes(1050 * 1024), np.uint8)
    values = dequantize(name, raw, shape)
    for row in (0, 1023, 1024, 1049):
        part = raw.reshape(1050, -1)[row]
        assert np.array_equal(bits_of(values[row]), bits_of(oracle(name, part, (1, 1024))[0]))


@pytest.mark.parametrize("name", [name for name in NAMES if QUANT_TYPES[name].kind != "float"])
def test_decoded_codes_are_within_their_bits_and_give_the_values(name: str) -> None:
    quant = QUANT_TYPES[name]
    raw = np.random.default_rng(3).integers(0, 256, (64, quant.block_bytes), np.uint8)
    assert quant.decode is not None
    blocks = quant.decode(raw)
    assert blocks.codes.dtype == np.uint8
    assert blocks.codes.shape == (64, quant.block // quant.sub_block, quant.sub_block)
    assert blocks.codes.max() == (
        6 if quant.bits == 3 and quant.values else 2 if name == "TQ1_0" else 2**quant.bits - 1
    )
    assert quant.values is None or len(quant.values) == 2**quant.bits
    assert blocks.scales.shape == blocks.codes.shape[:2]
    assert (blocks.mins is not None) == quant.has_min == (quant.zero_point is None)
    values = block_values(quant, blocks).reshape(64, quant.block)
    assert np.array_equal(bits_of(values), bits_of(oracle(name, raw.reshape(-1), (64, quant.block))))


def test_vectors_and_unaligned_read_only_bytes_are_read() -> None:
    values = np.arange(7, dtype=np.float32)
    raw = np.frombuffer(b"\0" + values.tobytes(), np.uint8)[1:]
    assert np.array_equal(dequantize("F32", raw, (7,)), values)


@pytest.mark.parametrize("name", NAMES)
def test_what_codes_stand_for_is_a_byte_above_the_zero_point(name: str) -> None:
    """So kernels can sum dot products of unsigned bytes and take the zero point off afterwards."""
    quant = QUANT_TYPES[name]
    if quant.values is not None:
        lifted = [value + (quant.zero_point or 0) for value in quant.values]
        assert min(lifted) == 0
        assert max(lifted) < 256


def test_every_type_that_llama_cpp_writes_is_there() -> None:
    """All but intermediate results and integers, which are never weights, and two of the newest."""
    never = {"Q8_1", "Q8_K", "I8", "I16", "I32", "I64", "F64", "NVFP4", "Q1_0"}
    assert set(QUANT_TYPES) == {kind.name for kind in gguf.GGMLQuantizationType} - never


def test_codebooks_are_those_of_gguf() -> None:
    for name in ("IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"):
        kind = getattr(gguf.quants, name)
        kind.init_grid()
        numbers = np.searchsorted(kind.grid_map, kind.grid.reshape(kind.grid_shape))
        assert np.array_equal(codebook("iq1" if name == "IQ1_S" else name.lower()), numbers)
    assert bytes(signs_of_seven()) == gguf.quants.IQ2_XXS.ksigns


def test_an_unsupported_type_is_named_with_the_supported_ones() -> None:
    with pytest.raises(SharkpackError) as caught:
        quant_type("Q8_K")
    assert str(caught.value) == (
        f"Quantisation type Q8_K is not supported; supported are {', '.join(NAMES)}. "
        "Use a file quantised to one of those."
    )


def test_bytes_that_are_not_the_tensor_are_refused() -> None:
    with pytest.raises(SharkpackError, match=r"A Q4_0 tensor of shape \(2, 32\) takes 36 bytes, found 35 \(uint8\)\."):
        dequantize("Q4_0", np.zeros(35, np.uint8), (2, 32))
    with pytest.raises(SharkpackError, match=r"Q4_K tensor of shape \(1, 128\) cannot be: .* blocks of 256 elements"):
        dequantize("Q4_K", np.zeros(72, np.uint8), (1, 128))
    with pytest.raises(SharkpackError, match=r"takes 4 bytes, found 4 \(int8\)"):
        dequantize("F32", np.zeros(4, np.int8), (1,))
