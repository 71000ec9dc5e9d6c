"""Sums of packed weights times activations along k: what a matmul kernel does between its loops and its stores.

Works on several weight streams (rows of tiles) and several tokens at once; accumulators are ordered stream by stream.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from sharkpack.formats.packing import CACHE_LINE, PackedLayout
from sharkpack.templates.kernels.activations import ActivationBlock
from sharkpack.templates.kernels.codes import (
    HALVES,
    RAISED,
    block_scale,
    can_raise,
    halves,
    sub_scale,
    super_scale,
    unpack_block,
)
from sharkpack.templates.kernels.dot import byte_of, code_bias
from sharkpack.templates.kernels.emitter import F32, I8, I32, Emitter
from sharkpack.templates.kernels.float_rows import float_rows
from sharkpack.templates.kernels.streams import Stream

TileWriter = Callable[[list[Stream], str, list[str]], list[str]]
Unpack = Callable[[Sequence[int]], list[str]]


@dataclass(frozen=True, slots=True)
class Block:
    """16 x 32 of a weight: what unpacks the codes of some halves, and of each of the two halves 16 scales of what is
    unpacked and 16 minimums, as f32 (None where there are none)."""

    codes: Unpack
    scales: Sequence[str]
    minimums: Sequence[str | None]


class MatmulLoops:
    """Writes the matmul loops of one layout with float32 activations (binding `x`) or int8 ones (`codes`, `scales`, and
    `remainders`, `remainder_sums` with `remainder`), k of them.

    `x` begins the names of codes and scales. Tokens are neighbouring rows.
    """

    def __init__(self, layout: PackedLayout, k: int, *, quantized: bool, remainder: bool, x: str = "") -> None:
        self.layout, self.k, self.quantized, self.remainder, self.x = layout, k, quantized, remainder, x

    def along_k(self, e: Emitter, streams: list[Stream], tokens: list[str]) -> list[str]:
        """[stream][token] vectors of 16 outputs: the whole dot products of streams of this layout."""
        if self.layout.kind == "float":
            return float_rows(e, self.layout, self.k, streams, tokens)
        sums = [e.floats(0.0)] * (len(streams) * len(tokens))
        if len(tokens) == 1:
            streams = [replace(stream, prefetched=stream.at) for stream in streams]
        if self.layout.kind == "superblock":
            return self._super_rows(e, streams, tokens, sums)
        return self._simple_rows(e, streams, tokens, sums)

    def _tiles(
        self, e: Emitter, streams: list[Stream], tokens: list[str], sums: list[str], count: int, write_tile: TileWriter
    ) -> list[str]:
        """Add the first `count` tiles of each stream; `write_tile` takes the tiles' first bytes and first block."""

        def body(index: str, carried: list[str]) -> list[str]:
            offset = e.mul(index, self.layout.tile_bytes)
            bases = [stream.after(e, offset) for stream in streams]
            return write_tile(bases, e.mul(index, self.layout.tile_k // 32), carried)

        return e.loop("%origin", e.index(count), 1, sums, F32, body)

    def _simple_rows(self, e: Emitter, streams: list[Stream], tokens: list[str], sums: list[str]) -> list[str]:
        each = self.layout.blocks_per_tile
        whole, rest = divmod(self.k // 32, each)

        def tile(bases: list[Stream], block: str, carried: list[str]) -> list[str]:
            return self._simple_tile(e, bases, block, tokens, carried, each)

        if whole:
            sums = self._tiles(e, streams, tokens, sums, whole, tile)
        if rest:
            bases = [stream.after(e, whole * self.layout.tile_bytes) for stream in streams]
            sums = self._simple_tile(e, bases, e.index(whole * each), tokens, sums, rest)
        return sums

    def _simple_tile(
        self, e: Emitter, bases: list[Stream], block: str, tokens: list[str], sums: list[str], count: int
    ) -> list[str]:
        layout = self.layout
        lines = layout.tile_bytes // CACHE_LINE
        for b in range(count):
            for base in bases:
                if not base.prefetched:
                    base.prefetch_once(e, range(b * lines // count, (b + 1) * lines // count), tokens[0])

            def read(i: int, b: int = b) -> Block:
                codes = self._unpack(e, bases[i].after(e, b * layout.block_bytes), tokens)
                scale = block_scale(e, layout, bases[i], b)
                minimum = halves(e, bases[i], layout.mins_offset(b)) if layout.has_min else None
                return self._block(e, codes, [scale], [minimum])

            sums = self._add(e, read, len(bases), e.add(block, b), tokens, sums)
        return sums

    def _super_rows(self, e: Emitter, streams: list[Stream], tokens: list[str], sums: list[str]) -> list[str]:
        def tile(bases: list[Stream], block: str, carried: list[str]) -> list[str]:
            return self._super_tile(e, bases, block, tokens, carried)

        return self._tiles(e, streams, tokens, sums, self.k // self.layout.tile_k, tile)

    def _super_tile(self, e: Emitter, bases: list[Stream], block: str, tokens: list[str], sums: list[str]) -> list[str]:
        layout = self.layout
        heads = [replace(base, prefetched=None) for base in bases]
        scale = [super_scale(e, layout, head) for head in heads]
        negative = [
            e.op(f"arith.negf {halves(e, head, layout.dmin_offset)} : {F32}") if layout.has_min else None
            for head in heads
        ]

        def blocks(b: str, carried: list[str]) -> list[str]:
            def read(i: int) -> Block:
                codes = self._super_codes(e, bases[i], b, tokens)
                return self._block(e, codes, *self._sub_scales(e, heads[i], b, scale[i], negative[i]))

            return self._add(e, read, len(bases), e.add(block, b), tokens, carried)

        # A loop, not eight copies: the code of a kernel would be eight times as long to compile and no faster.
        return e.loop("%origin", e.index(8), 1, sums, F32, blocks)

    def _super_codes(self, e: Emitter, base: Stream, block: str, tokens: list[str]) -> Unpack:
        """Unpack the codes of a block of a super-block. Each block prefetches an eighth of the tile's lines, scales
        among them: the prefetches go through the memory without a jump."""
        layout = self.layout
        lines, own = layout.tile_bytes // CACHE_LINE, layout.block_bytes // CACHE_LINE
        eighth = range(-(-lines // 8))
        first = e.op(f"arith.divui {e.mul(block, lines)}, {e.index(8)} : index")
        share, codes = base.after(e, e.mul(first, CACHE_LINE)), base.after(e, e.mul(block, layout.block_bytes))
        if not base.prefetched:
            share.prefetch_once(e, eighth, tokens[0])
            return self._unpack(e, codes, tokens)
        found = self._unpack(e, replace(codes, prefetched=share.prefetched), tokens)
        for line in eighth[own:]:
            share.prefetch(e, line)
        return found

    def _unpack(self, e: Emitter, block: Stream, tokens: list[str]) -> Unpack:
        """Unpack, for one token, the codes of a whole block now, so that their prefetches stay in order; for several,
        those of a half as it is multiplied: with the sums of all tokens, they fill the registers."""
        if len(tokens) > 1:
            return lambda which: unpack_block(e, self.layout, block, which, raised=self._raised(e))
        codes = unpack_block(e, self.layout, block, raised=self._raised(e))
        return lambda which: [codes[4 * half + g] for half in which for g in range(4)]

    def _sub_scales(
        self, e: Emitter, base: Stream, block: str, scale: str, negative: str | None
    ) -> tuple[list[str], list[str | None]]:
        """Scale and minimum (None where the layout has none) of each sub-block of a block of a super-block."""
        subs = 32 // self.layout.sub_block
        scales: list[str] = []
        minimums: list[str | None] = []
        for sub in range(subs):
            factor, minimum = sub_scale(e, self.layout, base, e.add(e.mul(block, subs), sub))
            scales.append(e.float_op("mulf", scale, factor) if factor else scale)
            minimums.append(e.float_op("mulf", negative, minimum) if negative and minimum else None)
        return scales, minimums

    def _raised(self, e: Emitter) -> bool:
        """Returns whether the second half's codes come RAISED and its scales divided by that: one multiplication
        instead of four shifts."""
        return self.quantized and can_raise(e, self.layout)

    def _block(self, e: Emitter, codes: Unpack, scales: list[str], minimums: list[str | None]) -> Block:
        """Returns sub-blocks' scales and minimums. The bias of integer codes is a minimum too."""
        offset = code_bias(e, self.layout.byte_bits) - (self.layout.zero_point or 0)
        if self.quantized and offset:
            minimums = [e.float_op("mulf", scale, e.floats(offset)) for scale in scales]
        first, second = scales[0], scales[-1]
        if self._raised(e):
            second = e.float_op("mulf", second, e.floats(1 / RAISED))
        return Block(codes, (first, second), (minimums[0], minimums[-1]))

    def _add(
        self, e: Emitter, read: Callable[[int], Block], streams: int, block: str, tokens: list[str], sums: list[str]
    ) -> list[str]:
        """Add a block of each stream, which `read` gives by its number: one stream after the other with one token, side
        by side with several."""
        if len(tokens) > 1:
            return self._add_blocks(e, [read(i) for i in range(streams)], block, tokens, sums)
        return [self._add_blocks(e, [read(i)], block, tokens, [total])[0] for i, total in enumerate(sums)]

    def _add_blocks(self, e: Emitter, blocks: list[Block], block: str, tokens: list[str], sums: list[str]) -> list[str]:
        """Half by half: what is in registers of a half of several tokens is not mixed with the other's."""
        sums, write = list(sums), self._integer_dots if self.quantized else self._float_dots
        for half in HALVES:
            codes = [mine.codes([half]) for mine in blocks]
            for token, dots, x_sums in write(e, codes, block, half, tokens, blocks[0].minimums[half] is not None):
                for i, (mine, dot) in enumerate(zip(blocks, dots, strict=True)):
                    at = i * len(tokens) + token
                    if minimum := mine.minimums[half]:
                        sums[at] = reduce(lambda total, x: e.fma(x, minimum, total), x_sums, sums[at])
                    sums[at] = e.fma(dot, mine.scales[half], sums[at])
            if len(tokens) > 1:
                e.keep_order()
        return sums

    def _integer_dots(
        self, e: Emitter, codes: Sequence[Sequence[str]], block: str, half: int, tokens: list[str], sums: bool
    ) -> Iterator[tuple[int, list[str], list[str]]]:
        """(token, d * code * x summed over a half of each stream, parts of the sum of d * x if `sums`).

        Where sub-blocks are whole blocks, the sum of both halves comes with the second."""
        x = ActivationBlock(e, self.k, block, tokens[0], x=self.x, remainder=self.remainder)
        whole = self.layout.sub_block == 32
        for token in range(len(tokens)):
            x_sums: list[str] = []
            if sums and (half or not whole):
                x_sums = x.sums(token, HALVES if whole else [half])
            yield token, x.dots(token, half, codes, self.layout.byte_bits), x_sums

    def _float_dots(
        self, e: Emitter, codes: Sequence[Sequence[str]], block: str, half: int, tokens: list[str], sums: bool
    ) -> Iterator[tuple[int, list[str], list[str]]]:
        """Emit the dot products of float32 activations of all tokens (the codes are widened once)."""
        k0, zero = e.add(e.mul(block, 32), 16 * half), e.floats(0.0)
        found = [[zero] * len(tokens) for _ in codes]
        for i, mine in enumerate(codes):
            for g, code in enumerate(mine):
                for j, weight in enumerate(self._float_weights(e, code)):
                    at = e.add(k0, 4 * g + j)
                    found[i] = [
                        e.fma(weight, e.splat(e.load_scalar("x", [token, at])), total)
                        for token, total in zip(tokens, found[i], strict=True)
                    ]
        for number, (token, *dots) in enumerate(zip(tokens, *found, strict=True)):
            x_sums = [e.splat(e.reduce("add", e.load("x", [token, k0], F32)))] if sums else []
            yield number, dots, x_sums

    def _float_weights(self, e: Emitter, code: str) -> Iterator[str]:
        """The four codes of a vector, less the zero point, as f32."""
        words = e.bitcast(code, I8, I32)
        for j in range(4):
            value = byte_of(e, words, j)
            if self.layout.zero_point is not None:
                value = e.op(f"arith.subi {value}, {e.integers(self.layout.zero_point)} : {I32}")
            yield e.op(f"arith.sitofp {value} : {I32} to {F32}")
