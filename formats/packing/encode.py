"""Encodes each GGML block as tiles, in whole arrays of 32-bit words: no code is spread to a byte of its own.

Types whose codes are not kept as bits of words go by way of encode_codes.py instead, which takes any type.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sharkpack.formats.packing.tiles import Tiles, Words
from sharkpack.formats.quant.block import Bytes
from sharkpack.formats.quant.k_blocks import scales_of_q3_k
from sharkpack.formats.quant.table_blocks import half_powers_of_two, scales_of_iq4_xs

Encoder = Callable[[Bytes, Tiles], None]
"""Takes blocks uint8 [down, row, block, block_bytes] of a slab and fills the (zeroed) tiles of it."""

_NIBBLE, _PAIR = np.uint32(0x0F0F0F0F), np.uint32(0x33333333)


def _simple(*, codes_at: int, min_at: int | None = None, fifth_at: int | None = None) -> Encoder:
    """An encoder of blocks of 32 whose float16 scale comes first; the nibbles are in the kernel's order already."""

    def encode(blocks: Bytes, tiles: Tiles) -> None:
        each = tiles.layout.blocks_per_tile
        for p in range(each):
            part = blocks[:, :, p::each]
            wide = part.shape[2]
            words = part[..., codes_at:].view("<u4")
            tiles.words(p)[:, :wide] = words.transpose(0, 2, 3, 1)
            tiles.scales[:, :wide, p] = _half(part, 0)
            if min_at is not None:
                tiles.mins[:, :wide, p] = _half(part, min_at)
            if fifth_at is not None:
                fifth = part[..., fifth_at : fifth_at + 4].view("<u4")[..., 0]
                tiles.top_bits(p)[:, :wide] = _fifth_plane(fifth.transpose(0, 2, 1))
            if tiles.layout.bits == 8:
                tiles.words(p)[:, :wide] ^= np.uint32(0x80808080)

    return encode


def _half(blocks: Bytes, offset: int) -> NDArray[np.float16]:
    """The float16 at that byte of each block, [down, block, row]."""
    halves: NDArray[np.float16] = blocks[..., offset : offset + 2].view("<f2")[..., 0]
    return halves.transpose(0, 2, 1)


def _fifth_plane(bits: Words) -> Bytes:
    """32 bits of each row, uint32 [down, block, row], to the plane's bytes [down, block, group, 8].

    Nibble g of a row belongs to group g. Rows 2i (low half) and 2i + 1 (high half) share a 64-bit word here, in which
    the nibbles of one group are brought into one byte: even groups in the low half, odd ones in the high half.
    """
    rows = np.ascontiguousarray(bits).view("<u8")
    even = (rows >> np.uint64(28)) & np.uint64(0xF0F0F0F0)
    odd = (rows << np.uint64(28)) & np.uint64(0x0F0F0F0F_00000000)
    paired = (rows & np.uint64(0xF0F0F0F0_0F0F0F0F)) | even | odd
    by_parity = paired.view(np.uint8).reshape(*paired.shape, 2, 4)
    plane: Bytes = by_parity.transpose(0, 1, 4, 3, 2).reshape(*paired.shape[:2], 8, 8)
    return plane


def _words_first(blocks: Bytes, start: int, end: int) -> Words:
    """Bytes start..end of each block as contiguous uint32 [word, down, block, row]."""
    return np.ascontiguousarray(blocks[..., start:end].view("<u4").transpose(3, 0, 2, 1))


def _put_nibbles(chunk: Words, tiles: Tiles, low_block: int, high_block: int) -> None:
    """8 words a row, whose low nibbles are the 32 codes of one block and whose high nibbles those of another."""
    first, second = chunk[:4], chunk[4:]
    low = (first & _NIBBLE) | ((second & _NIBBLE) << np.uint32(4))
    high = ((first >> np.uint32(4)) & _NIBBLE) | (second & ~_NIBBLE)
    tiles.words(low_block)[:, :, :4] = low.transpose(1, 2, 0, 3)
    tiles.words(high_block)[:, :, :4] = high.transpose(1, 2, 0, 3)


def _bytes_of(word: Words) -> Bytes:
    """uint32 [word, down, block, row] to its bytes [down, block, 4 * word, row]."""
    split = word.view(np.uint8).reshape(*word.shape, 4)
    return split.transpose(1, 2, 0, 4, 3).reshape(word.shape[1], word.shape[2], -1, word.shape[3])


def _put_six_bit_scales(blocks: Bytes, tiles: Tiles) -> None:
    """d, dmin, and the 8 scales and 8 minimums of 6 bits that follow them in 12 bytes."""
    scale, minimum, rest = _words_first(blocks, 4, 16)[:, None]
    four, two = np.uint32(4), np.uint32(2)
    top, low = np.uint32(0x30303030), np.uint32(0x3F3F3F3F)
    tiles.scales[:, :, :4] = _bytes_of(scale & low)
    tiles.scales[:, :, 4:] = _bytes_of((rest & _NIBBLE) | ((scale >> two) & top))
    tiles.mins[:, :, :4] = _bytes_of(minimum & low)
    tiles.mins[:, :, 4:] = _bytes_of(((rest >> four) & _NIBBLE) | ((minimum >> two) & top))
    tiles.d[...] = _half(blocks, 0)
    tiles.dmin[...] = _half(blocks, 2)


def _mxfp4(blocks: Bytes, tiles: Tiles) -> None:
    """Encodes a simple block whose scale, one byte, becomes a bfloat16, which has all of its values."""
    for p in range(2):
        part = blocks[:, :, p::2]
        tiles.words(p)[:, : part.shape[2]] = part[..., 1:].view("<u4").transpose(0, 2, 3, 1)
        scales = half_powers_of_two(part[..., 0]).view(np.uint32) >> np.uint32(16)
        tiles.scales[:, : part.shape[2], p] = scales.transpose(0, 2, 1)


def _iq4_xs(blocks: Bytes, tiles: Tiles) -> None:
    words = blocks[..., 8:136].view("<u4").transpose(0, 2, 3, 1)
    for b in range(8):
        tiles.words(b)[...] = words[:, :, 4 * b : 4 * b + 4]
    tiles.scales[...] = scales_of_iq4_xs(blocks).transpose(0, 2, 3, 1)
    tiles.d[...] = _half(blocks, 0)


def _put_pairs(blocks: Bytes, start: int, tiles: Tiles, vector: int) -> None:
    """64 bytes of each block, from byte `start`: of each 32, the lowest pairs of bits are a block of codes, and so on.

    They become two vectors of each block of a tile, from the one of that number on.
    """
    pairs = _words_first(blocks, start, start + 64)
    for half in range(2):
        for v in range(2):
            groups = pairs[8 * half + 4 * v : 8 * half + 4 * v + 4]
            for b, plane in enumerate(_exchange_pairs(groups)):
                tiles.words(4 * half + b)[:, :, vector + v] = plane


def _put_top_bits(blocks: Bytes, start: int, tiles: Tiles) -> None:
    """32 bytes of each block, from byte `start`: bit b of each is the top bit of a code of block b of the tile."""
    lanes = _words_first(blocks, start, start + 32).view(np.uint8)
    for b in range(8):
        bits = np.packbits(lanes & np.uint8(1 << b), axis=-1, bitorder="little")
        tiles.top_bits(b)[...] = bits.transpose(1, 2, 0, 3)


def _q2_k(blocks: Bytes, tiles: Tiles) -> None:
    _put_pairs(blocks, 16, tiles, 0)
    tiles.scales[...] = _bytes_of(_words_first(blocks, 0, 16))
    tiles.d[...] = _half(blocks, 80)
    tiles.dmin[...] = _half(blocks, 82)


def _q3_k(blocks: Bytes, tiles: Tiles) -> None:
    _put_pairs(blocks, 32, tiles, 0)
    _put_top_bits(blocks, 0, tiles)
    tiles.scales[...] = scales_of_q3_k(blocks[..., 96:108]).transpose(0, 2, 3, 1)
    tiles.d[...] = _half(blocks, 108)


def _tq2_0(blocks: Bytes, tiles: Tiles) -> None:
    _put_pairs(blocks, 0, tiles, 0)
    tiles.d[...] = _half(blocks, 64)


def _q4_k(blocks: Bytes, tiles: Tiles) -> None:
    words = _words_first(blocks, 16, 144)
    for c in range(4):
        _put_nibbles(words[8 * c : 8 * c + 8], tiles, 2 * c, 2 * c + 1)
    _put_six_bit_scales(blocks, tiles)


def _q5_k(blocks: Bytes, tiles: Tiles) -> None:
    words = _words_first(blocks, 48, 176)
    for c in range(4):
        _put_nibbles(words[8 * c : 8 * c + 8], tiles, 2 * c, 2 * c + 1)
    _put_top_bits(blocks, 16, tiles)
    _put_six_bit_scales(blocks, tiles)


def _q6_k(blocks: Bytes, tiles: Tiles) -> None:
    nibbles = _words_first(blocks, 0, 128)
    for half in range(2):
        for c in range(2):
            chunk = nibbles[16 * half + 8 * c : 16 * half + 8 * c + 8]
            _put_nibbles(chunk, tiles, 4 * half + c, 4 * half + c + 2)
    _put_pairs(blocks, 128, tiles, 4)
    tiles.scales[...] = _bytes_of(_words_first(blocks, 192, 208)).view(np.int8)
    tiles.d[...] = _half(blocks, 208)


def _exchange_pairs(groups: Words) -> tuple[Words, Words, Words, Words]:
    """4 x 4 transposition of the 2-bit fields of every byte: field b of word q becomes field q of word b."""
    two, four = np.uint32(2), np.uint32(4)
    even, odd = groups[0::2], groups[1::2]
    near = (even & _PAIR) | ((odd & _PAIR) << two)
    far = ((even >> two) & _PAIR) | (odd & ~_PAIR)
    return (
        (near[0] & _NIBBLE) | ((near[1] & _NIBBLE) << four),
        (far[0] & _NIBBLE) | ((far[1] & _NIBBLE) << four),
        ((near[0] >> four) & _NIBBLE) | (near[1] & ~_NIBBLE),
        ((far[0] >> four) & _NIBBLE) | (far[1] & ~_NIBBLE),
    )


ENCODERS: dict[str, Encoder] = {
    "q4_0": _simple(codes_at=2),
    "q4_1": _simple(codes_at=4, min_at=2),
    "q5_0": _simple(codes_at=6, fifth_at=2),
    "q5_1": _simple(codes_at=8, min_at=2, fifth_at=4),
    "q8_0": _simple(codes_at=2),
    "q2_k": _q2_k,
    "q3_k": _q3_k,
    "q4_k": _q4_k,
    "q5_k": _q5_k,
    "q6_k": _q6_k,
    "iq4_nl": _simple(codes_at=2),
    "iq4_xs": _iq4_xs,
    "mxfp4": _mxfp4,
    "tq2_0": _tq2_0,
}
