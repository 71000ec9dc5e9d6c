"""The packed stream: its bytes against a plain reading of the specification, and the way back against the source."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sharkpack.formats.packing import LAYOUTS, layout_named, pack, pack_slabs, packed_nbytes, unpack, unpack_rows
from sharkpack.formats.quant import DecodedBlocks, dequantize

Bytes = NDArray[np.uint8]

FLOATS = ("f32", "f16", "bf16")
# name: blocks a tile, bytes a block of codes, plane, scales, mins, d, dmin, bytes a tile (-1: none)
TILES = {
    "q4_0": (2, 256, -1, 512, -1, -1, -1, 576),
    "q4_1": (1, 256, -1, 256, 288, -1, -1, 320),
    "q5_0": (2, 320, 256, 640, -1, -1, -1, 704),
    "q5_1": (1, 320, 256, 320, 352, -1, -1, 384),
    "q8_0": (2, 512, -1, 1024, -1, -1, -1, 1088),
    "iq4_nl": (2, 256, -1, 512, -1, -1, -1, 576),
    "mxfp4": (2, 256, -1, 512, -1, -1, -1, 576),
    "q2_k": (8, 128, -1, 1024, -1, 1280, 1312, 1344),
    "q3_k": (8, 192, 128, 1536, -1, 1792, -1, 1856),
    "q4_k": (8, 256, -1, 2048, 2176, 2304, 2336, 2368),
    "q5_k": (8, 320, 256, 2560, 2688, 2816, 2848, 2880),
    "q6_k": (8, 384, 256, 3072, -1, 3328, -1, 3392),
    "iq4_xs": (8, 256, -1, 2048, -1, 2176, -1, 2240),
    "iq3_xxs": (8, 256, -1, 2048, -1, 2176, -1, 2240),
    "iq3_s": (8, 256, -1, 2048, -1, 2176, -1, 2240),
    "iq2_xxs": (8, 192, 128, 1536, -1, 1664, -1, 1728),
    "iq2_xs": (8, 192, 128, 1536, -1, 1792, -1, 1856),
    "iq2_s": (8, 192, 128, 1536, -1, 1792, -1, 1856),
    "iq1_s": (8, 192, 128, 1536, -1, 1664, -1, 1728),
    "iq1_m": (8, 192, 128, 1536, -1, 1792, -1, 1856),
    "tq1_0": (8, 128, -1, 1024, -1, 1024, -1, 1088),
    "tq2_0": (8, 128, -1, 1024, -1, 1024, -1, 1088),
}
BLOCKED = tuple(TILES)


def random_source(name: str, rows: int, columns: int, seed: int = 0) -> Bytes:
    size = LAYOUTS[name].quant.nbytes(rows * columns)
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def shapes(name: str) -> list[tuple[int, int]]:
    if name in FLOATS:
        return list(product(range(1, 34), range(1, 41, 3))) + list(product((1, 16, 17), range(1, 41)))
    step = LAYOUTS[name].super_block
    widths = (256, 512) if step == 256 else range(32, 161, 32)
    return list(product(range(1, 34), widths))


def code_bytes(name: str, codes: Bytes) -> Bytes:
    """The bytes of one block of codes [16, 32], element after element, as the specification words it."""
    size, plane = TILES[name][1:3]
    block = np.zeros(size, np.uint8)
    for row, k in product(range(16), range(32)):
        group, lane, code = k // 4, 4 * row + k % 4, int(codes[row, k])
        if name == "q8_0":
            block[64 * group + lane] = code
            continue
        if size < 256:
            block[64 * (group // 4) + lane] |= (code & 3) << (2 * (group % 4))
        else:
            block[64 * (group % 4) + lane] |= (code & 15) << (4 * (group // 4))
        if size in (192, 320):
            block[plane + 8 * group + lane // 8] |= (code >> (2 if size == 192 else 4)) << (lane % 8)
        if size == 384:
            block[plane + 64 * (group // 4) + lane] |= (code >> 4) << (2 * (group % 4))
    return block


def stored_scales(name: str, parts: DecodedBlocks) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Scales and minimums as they stand in the stream: of ternary types none, of MXFP4 the upper halves of floats, and
    of Q2_K both in one byte."""
    if name in ("tq1_0", "tq2_0"):
        return None, None
    if name == "mxfp4":
        return (parts.scales.view(np.uint32) >> 16).astype(np.uint16), None
    if name == "q2_k":
        assert parts.mins is not None
        return parts.scales | parts.mins << 4, None
    return parts.scales, parts.mins


def tile_bytes(name: str, codes: Bytes, parts: DecodedBlocks) -> Bytes:
    """One tile: codes [16, k], and of up to 16 rows the scales and mins [rows, sub-blocks], d and dmin [rows]."""
    blocks, size, _, scales, mins, d, dmin, total = TILES[name]
    tile = np.zeros(total, np.uint8)
    for b in range(blocks):
        tile[b * size : (b + 1) * size] = code_bytes(name, codes[:, 32 * b : 32 * b + 32])

    def put(offset: int, values: NDArray[Any]) -> None:
        tile[offset : offset + values.nbytes] = np.frombuffer(values.tobytes(), np.uint8)

    for offset, parameter in zip((scales, mins), stored_scales(name, parts), strict=True):
        for sub, values in enumerate(() if parameter is None else parameter.T):
            put(offset + sub * 16 * values.itemsize, values)
    for offset, halves in ((d, parts.d), (dmin, parts.dmin)):
        if halves is not None:
            put(offset, halves)
    return tile


def test_every_layout_is_tested() -> None:
    assert sorted(BLOCKED + FLOATS) == sorted(LAYOUTS)


@pytest.mark.parametrize("name", BLOCKED)
def test_offsets_are_the_specification_s(name: str) -> None:
    layout = LAYOUTS[name]
    blocks, size, plane, scales, mins, d, dmin, total = TILES[name]
    assert (layout.blocks_per_tile, layout.block_bytes, layout.tile_bytes) == (blocks, size, total)
    assert layout.tile_k == 32 * blocks
    assert plane in (-1, layout.plane_offset)
    assert total % 64 == 0
    each = 16 if layout.kind == "superblock" else 32
    assert layout.scales_offset(1) == scales + (0 if "tq" in name else each)
    assert (layout.min_bytes > 0) == (mins != -1)
    assert layout.has_min == (mins != -1 or dmin != -1)
    if layout.min_bytes:
        assert layout.mins_offset(1) == mins + each
    if layout.kind == "superblock":
        assert layout.d_offset == d
        assert dmin in (-1, layout.dmin_offset)
    assert layout.element_bytes == 0


@pytest.mark.parametrize("rows", [16, 5])
@pytest.mark.parametrize("name", BLOCKED)
def test_one_tile_is_what_the_specification_says(name: str, rows: int) -> None:
    layout, columns = LAYOUTS[name], TILES[name][0] * 32
    raw = random_source(name, rows, columns, seed=rows)
    decode = layout.quant.decode
    assert decode is not None
    parts = decode(raw.reshape(-1, layout.quant.block_bytes))
    codes = np.zeros((16, columns), np.uint8)
    codes[:rows] = parts.codes.reshape(rows, columns)
    if layout.kind == "simple":  # from one row a block to one row a row
        mins = None if parts.mins is None else parts.mins.reshape(rows, -1)
        parts = DecodedBlocks(codes=parts.codes, scales=parts.scales.reshape(rows, -1), mins=mins)
    assert np.array_equal(pack(layout, raw, (rows, columns)), tile_bytes(name, codes, parts))


@pytest.mark.parametrize("name", BLOCKED)
def test_tiles_follow_each_other_along_k_and_then_down(name: str) -> None:
    layout = LAYOUTS[name]
    rows, columns = 37, 3 * layout.tile_k
    raw = random_source(name, rows, columns)
    blocks = raw.reshape(rows, 3, -1)
    tiles = [
        pack(layout, np.ascontiguousarray(part[:, t]), (len(part), layout.tile_k))
        for part in (blocks[:16], blocks[16:32], blocks[32:])
        for t in range(3)
    ]
    assert np.array_equal(pack(layout, raw, (rows, columns)), np.concatenate(tiles))


@pytest.mark.parametrize("name", ["q4_0", "q5_0", "q8_0", "iq4_nl", "mxfp4"])
def test_the_block_that_fills_up_the_last_tile_is_zero(name: str) -> None:
    layout = LAYOUTS[name]
    packed = pack(layout, random_source(name, 16, 96), (16, 96)).reshape(2, layout.tile_bytes)
    scales = layout.scales_offset(1)
    assert not packed[1, layout.block_bytes : 2 * layout.block_bytes].any()
    assert not packed[1, scales : scales + 32].any()
    assert packed[0, scales : scales + 32].any()


@pytest.mark.parametrize("name", FLOATS)
def test_floats_stand_sixteen_rows_to_a_column(name: str) -> None:
    layout = LAYOUTS[name]
    raw = random_source(name, 18, 3).view(f"u{layout.element_bytes}").reshape(18, 3)
    packed = pack(layout, raw.view(np.uint8).reshape(-1), (18, 3)).view(raw.dtype).reshape(2, 3, 16)
    assert np.array_equal(packed[0], raw[:16].T)
    assert np.array_equal(packed[1, :, :2], raw[16:].T)
    assert not packed[1, :, 2:].any()
    assert (layout.kind, layout.tile_k, layout.tile_bytes) == ("float", 1, 16 * layout.element_bytes)


@pytest.mark.supports("type")
@pytest.mark.parametrize("type", [name.upper() for name in BLOCKED + FLOATS])
def test_unpacked_is_dequantized_in_every_small_shape(type: str) -> None:
    layout = layout_named(type)
    for shape in shapes(layout.name):
        raw = random_source(layout.name, *shape, seed=shape[0])
        packed = pack(layout, raw, shape)
        assert packed.size == packed_nbytes(layout, shape)
        expected = dequantize(layout.quant.name, raw, shape).view(np.uint32)
        assert np.array_equal(unpack(layout, packed, shape).view(np.uint32), expected), shape


@pytest.mark.parametrize("name", BLOCKED + FLOATS)
def test_slabs_rows_and_their_order_agree_in_a_larger_matrix(name: str) -> None:
    layout, shape = LAYOUTS[name], (3001, 1792)
    raw = random_source(name, *shape)
    expected = dequantize(layout.quant.name, raw, shape).view(np.uint32)
    order = np.random.default_rng(5).permutation(shape[0])
    slabs = list(pack_slabs(layout, raw, shape, order))
    assert len(slabs) > 1
    packed = np.concatenate(slabs)
    assert np.array_equal(packed, pack(layout, raw.reshape(3001, -1)[order].reshape(-1), shape))
    assert np.array_equal(unpack(layout, packed, shape).view(np.uint32), expected[order])
    rows = np.array([3000, 0, 17, 17, 1024])
    assert np.array_equal(unpack_rows(layout, packed, shape, rows).view(np.uint32), expected[order[rows]])


@pytest.mark.parametrize("name", BLOCKED + FLOATS)
def test_no_rows_are_an_empty_matrix(name: str) -> None:
    packed = np.zeros(packed_nbytes(LAYOUTS[name], (2, 256)), np.uint8)
    assert unpack_rows(LAYOUTS[name], packed, (2, 256), np.zeros(0, np.int64)).shape == (0, 256)


@pytest.mark.parametrize("name", BLOCKED + FLOATS)
def test_read_only_bytes_at_an_odd_address_pack_alike(name: str) -> None:
    raw = random_source(name, 20, 512)
    shifted = np.frombuffer(b"\0" + raw.tobytes(), np.uint8)[1:]
    assert np.array_equal(pack(LAYOUTS[name], shifted, (20, 512)), pack(LAYOUTS[name], raw, (20, 512)))
