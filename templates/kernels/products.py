"""Sums of packed weights times activations along k: what a matmul kernel does between its loops and its stores.

Works on several weight streams (rows of tiles) and several tokens at once; accumulators are ordered stream by stream.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce

from sharkpack.formats.packing import CACHE_LINE, PackedLayout
from sharkpack.templates.kernels.activation_block import BLOCK_SUM, DROP, LIFT, LIFT_BITS, SCALE, SUM
from sharkpack.templates.kernels.codes import block_scale, halves, sub_scale, super_scale, unpack_block
from sharkpack.templates.kernels.dot import byte_of, code_bias, dot16
from sharkpack.templates.kernels.emitter import F32, I8, I32, Emitter
from sharkpack.templates.kernels.float_rows import float_rows
from sharkpack.templates.kernels.streams import Stream

TileWriter = Callable[[list[Stream], str, list[str]], list[str]]


class Products:
    """Writes the products of one layout with float32 activations (binding `x`) or int8 ones (`codes`, `scales`, and
    `remainders`, `remainder_sums` with `remainder`), k of them.

    `x` begins the names of codes and scales.
    """

    def __init__(self, layout: PackedLayout, k: int, *, quantized: bool, remainder: bool, x: str = "") -> None:
        self.layout, self.k, self.quantized, self.remainder = layout, k, quantized, remainder
        self.codes, self.scales = f"{x}codes", f"{x}scales"

    def along_k(self, e: Emitter, streams: list[Stream], tokens: list[str]) -> list[str]:
        """[stream][token] vectors of 16 outputs: the whole dot products of streams of this layout."""
        if self.layout.kind == "float":
            return float_rows(e, self.layout, self.k, streams, tokens)
        sums = [e.floats(0.0)] * (len(streams) * len(tokens))
        if len(tokens) == 1:
            streams = [replace(stream, ahead=stream.at) for stream in streams]
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
            found: list[str] = []
            for i, base in enumerate(bases):
                if not base.ahead:
                    base.ask_ahead_for_first(e, range(b * lines // count, (b + 1) * lines // count), tokens[0])
                codes = unpack_block(e, layout, base.after(e, b * layout.block_bytes))
                scale = block_scale(e, layout, base, b)
                minimum = halves(e, base, layout.mins_offset(b)) if layout.has_min else None
                mine = sums[i * len(tokens) : (i + 1) * len(tokens)]
                found += self._block(e, codes, [scale], [minimum], e.add(block, b), tokens, mine)
            sums = found
        return sums

    def _super_rows(self, e: Emitter, streams: list[Stream], tokens: list[str], sums: list[str]) -> list[str]:
        def tile(bases: list[Stream], block: str, carried: list[str]) -> list[str]:
            return self._super_tile(e, bases, block, tokens, carried)

        return self._tiles(e, streams, tokens, sums, self.k // self.layout.tile_k, tile)

    def _super_tile(self, e: Emitter, bases: list[Stream], block: str, tokens: list[str], sums: list[str]) -> list[str]:
        layout = self.layout
        heads = [replace(base, ahead=None) for base in bases]
        scale = [super_scale(e, layout, head) for head in heads]
        negative = [
            e.op(f"arith.negf {halves(e, head, layout.dmin_offset)} : {F32}") if layout.has_min else None
            for head in heads
        ]

        def blocks(b: str, carried: list[str]) -> list[str]:
            found: list[str] = []
            for i, base in enumerate(bases):
                codes = self._super_codes(e, base, b, tokens[0])
                scales, minimums = self._sub_scales(e, heads[i], b, scale[i], negative[i])
                mine = carried[i * len(tokens) : (i + 1) * len(tokens)]
                found += self._block(e, codes, scales, minimums, e.add(block, b), tokens, mine)
            return found

        # A loop, not eight copies: the code of a kernel would be eight times as long to compile and no faster.
        return e.loop("%origin", e.index(8), 1, sums, F32, blocks)

    def _super_codes(self, e: Emitter, base: Stream, block: str, token: str) -> list[str]:
        """The codes of a block of a super-block. Each block asks for an eighth of the tile's lines, scales among them:
        what is asked for goes through the memory without a jump."""
        layout = self.layout
        lines, own = layout.tile_bytes // CACHE_LINE, layout.block_bytes // CACHE_LINE
        eighth = range(-(-lines // 8))
        first = e.op(f"arith.divui {e.mul(block, lines)}, {e.index(8)} : index")
        share, codes = base.after(e, e.mul(first, CACHE_LINE)), base.after(e, e.mul(block, layout.block_bytes))
        if not base.ahead:
            share.ask_ahead_for_first(e, eighth, token)
            return unpack_block(e, layout, codes)
        found = unpack_block(e, layout, replace(codes, ahead=share.ahead))
        for line in eighth[own:]:
            share.ask_ahead(e, line)
        return found

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

    def _block(
        self,
        e: Emitter,
        codes: list[str],
        scales: list[str],
        minimums: list[str | None],
        block: str,
        tokens: list[str],
        sums: list[str],
    ) -> list[str]:
        """Add one 16 x 32 block, given its 8 code vectors and the scale (and minimum) of each of its sub-blocks."""
        groups = 8 // len(scales)
        for sub, (scale, minimum) in enumerate(zip(scales, minimums, strict=True)):
            part = range(sub * groups, (sub + 1) * groups)
            if self.quantized:
                if offset := code_bias(e, self.layout.byte_bits) - (self.layout.zero_point or 0):
                    minimum = e.float_op("mulf", scale, e.floats(offset))
                pairs = [self._integer_dots(e, codes, part, block, token, minimum is not None) for token in tokens]
            else:
                pairs = self._float_dots(e, codes, part, block, tokens, minimum is not None)
            sums = [
                self._plus(e, dots, scale, self._plus(e, [e.splat(x) for x in x_sums], minimum, total))
                for (dots, x_sums), total in zip(pairs, sums, strict=True)
            ]
        return sums

    def _plus(self, e: Emitter, parts: Sequence[str], factor: str | None, total: str) -> str:
        """total, and each part times the factor (without one there are none)."""
        return reduce(lambda sofar, part: e.fma(part, factor, sofar), parts, total) if factor else total

    def _integer_dots(
        self, e: Emitter, codes: list[str], part: range, block: str, token: str, sums: bool
    ) -> tuple[list[str], list[str]]:
        """(parts of the sum of d * code * x, and of the sum of d * x if it is wanted) over the groups of `part`: half
        a block, or all of it. The parts are not added up: each is multiplied by the weights' scale in one instruction
        with its addition."""
        halves = sorted({g // 4 for g in part})
        slots = [BLOCK_SUM if len(halves) == 2 else SUM + halves[0]] if sums else []
        x_sums = [e.load_scalar(self.scales, [token, block, e.index(slot)]) for slot in slots]
        if sums and self.remainder:
            x_sums += [e.load_scalar("remainder_sums", [token, block, e.index(half)]) for half in halves]
        dot = self._fine_dot if self.remainder else self._lifted_dot
        return [dot(e, codes, half, block, token) for half in halves], x_sums

    def _lifted_dot(self, e: Emitter, codes: list[str], half: int, block: str, token: str) -> str:
        """d * sum of code * x of one half, f32 (activation_block.py)."""
        lifted = self._dot16(e, e.integers(LIFT_BITS), self.codes, codes, half, block, token)
        d, drop = (e.splat(e.load_scalar(self.scales, [token, block, e.index(at + half)])) for at in (SCALE, DROP))
        if e.isa.fma:
            return e.fma(e.bitcast(lifted, I32, F32), d, drop)
        # Two roundings would be two of a number that is a thousand times the result.
        return e.float_op("mulf", e.float_op("subf", e.bitcast(lifted, I32, F32), e.floats(LIFT)), d)

    def _fine_dot(self, e: Emitter, codes: list[str], half: int, block: str, token: str) -> str:
        """As `_lifted_dot`, of activations of 16 bits: with 256ths of a step a sum is too large to be lifted."""
        total = self._dot16(e, e.integers(0), self.codes, codes, half, block, token)
        total = e.op(f"arith.shli {total}, {e.integers(8)} : {I32}")
        total = self._dot16(e, total, "remainders", codes, half, block, token)
        d = e.load_scalar(self.scales, [token, block, e.index(SCALE + half)])
        fine = e.splat(e.op(f"arith.mulf {d}, {e.float(1.0 / 256.0)} : f32"))
        return e.float_op("mulf", e.op(f"arith.sitofp {total} : {I32} to {F32}"), fine)

    def _dot16(self, e: Emitter, total: str, x: str, codes: list[str], half: int, block: str, token: str) -> str:
        """total + codes * activations `x` of one half of the block, i32: at most 16 * 255 * 128, so 8 bits more fit."""
        groups = range(4 * half, 4 * half + 4)
        words = [e.load_scalar(x, [token, e.add(e.mul(block, 8), g)]) for g in groups]
        return dot16(e, total, [codes[g] for g in groups], words, self.layout.byte_bits)

    def _float_dots(
        self, e: Emitter, codes: list[str], part: range, block: str, tokens: list[str], sums: bool
    ) -> list[tuple[list[str], list[str]]]:
        """As `_integer_dots`, for float32 activations of all tokens (the codes are widened once)."""
        k0 = e.add(e.mul(block, 32), 4 * part[0])
        totals, zero = [e.floats(0.0)] * len(tokens), self.layout.zero_point
        for g in part:
            words = e.bitcast(codes[g], I8, I32)
            for j in range(4):
                code = byte_of(e, words, j)
                if zero is not None:
                    code = e.op(f"arith.subi {code}, {e.integers(zero)} : {I32}")
                weight = e.op(f"arith.sitofp {code} : {I32} to {F32}")
                at = e.add(k0, 4 * (g - part[0]) + j)
                totals = [
                    e.fma(weight, e.splat(e.load_scalar("x", [token, at])), total)
                    for token, total in zip(tokens, totals, strict=True)
                ]
        if not sums:
            return [([total], []) for total in totals]
        x_type = f"vector<{4 * len(part)}xf32>"
        x_sums = [[e.reduce("add", e.load("x", [token, k0], x_type), x_type)] for token in tokens]
        return [([total], x_sum) for total, x_sum in zip(totals, x_sums, strict=True)]
