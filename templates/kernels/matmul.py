"""y[rows, n] = x[rows, k] . weight[n, k]^T (+ bias[n]) (+ residual[rows, n]), the weight a packed stream.

A workgroup owns some tiles of 16 outputs and takes tokens TOKEN_TILE at a time, so that a tile's codes are unpacked
once for them all; the tokens left over, and decode's single one, go one at a time.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from sharkpack.formats.packing import LAYOUTS, PackedLayout, packed_nbytes
from sharkpack.templates.kernels.codes import halves, small_integers, unpack_block
from sharkpack.templates.kernels.dot import byte_of, dot4
from sharkpack.templates.kernels.emitter import F32, I8, I32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel

Activations = Literal["float32", "int8", "int8_remainder"]

TileWriter = Callable[[str, str, list[str]], list[str]]

TOKEN_TILE = 4
GROUP_BYTES = 32 * 1024
"""Weight bytes a workgroup reads: enough to hide its dispatch, few enough that two threads share evenly."""


def matmul(n: int, k: int, layout_name: str, activations: Activations, *, bias: bool, residual: bool) -> Kernel:
    """The kernel for one shape; float layouts (f32, f16, bf16) take float32 activations only."""
    quantized = activations != "float32"
    writer = _Matmul(n, k, LAYOUTS[layout_name], activations, bias, residual)
    extras = ("_bias" if bias else "") + ("_residual" if residual else "")
    return Kernel(
        name=f"matmul_{layout_name}_{activations}_n{n}_k{k}{extras}",
        bindings=writer.bindings(),
        dimensions={"rows": ("codes" if quantized else "x", 0)},
        groups=writer.groups,
        body=writer.write,
    )


class _Matmul:
    def __init__(
        self, n: int, k: int, layout: PackedLayout, activations: Activations, bias: bool, residual: bool
    ) -> None:
        self.n, self.k, self.layout, self.bias, self.residual = n, k, layout, bias, residual
        self.quantized, self.remainder = activations != "float32", activations == "int8_remainder"
        self.row_tiles = -(-n // 16)
        self.bytes = packed_nbytes(layout, (n, k))
        self.row_tile_bytes = self.bytes // self.row_tiles
        self.tiles_each = max(1, min(GROUP_BYTES // self.row_tile_bytes, -(-self.row_tiles // 4)))
        self.groups = -(-self.row_tiles // self.tiles_each)

    def bindings(self) -> tuple[Binding, ...]:
        n, k = self.n, self.k
        found = [Binding(name="weight", memref=f"{self.bytes}xi8", tensor=f"{self.bytes}xi8")]
        if self.quantized:
            found.append(Binding(name="codes", memref=f"?x{k // 4}xi32", tensor=f"?x{k}xi8"))
            found.append(Binding(name="scales", memref=f"?x{k // 32}x4xf32", tensor=f"?x{k // 32}x4xf32"))
            if self.remainder:
                sums = f"?x{k // 32}x2xf32"
                found.append(Binding(name="remainders", memref=f"?x{k // 4}xi32", tensor=f"?x{k}xi8"))
                found.append(Binding(name="remainder_sums", memref=sums, tensor=sums))
        else:
            found.append(Binding(name="x", memref=f"?x{k}xf32", tensor=f"?x{k}xf32"))
        if self.bias:
            found.append(Binding(name="bias", memref=f"{n}xf32", tensor=f"{n}xf32"))
        if self.residual:
            found.append(Binding(name="residual", memref=f"?x{n}xf32", tensor=f"?x{n}xf32"))
        return (*found, Binding(name="y", memref=f"?x{n}xf32", tensor=f"?x{n}xf32", access="write"))

    def write(self, e: Emitter) -> None:
        first = e.mul("%group_x", self.tiles_each)
        last = e.minimum(e.add(first, self.tiles_each), e.index(self.row_tiles))
        whole = e.op(f"arith.subi %rows, {e.op(f'arith.remui %rows, {e.index(TOKEN_TILE)} : index')} : index")

        def row_tile(tile: str) -> None:
            e.each("%origin", whole, TOKEN_TILE, lambda token: self._tokens(e, tile, token, TOKEN_TILE))
            e.each(whole, "%rows", 1, lambda token: self._tokens(e, tile, token, 1))

        e.each(first, last, 1, row_tile)

    def _tokens(self, e: Emitter, tile: str, token: str, count: int) -> None:
        tokens = [e.add(token, m) for m in range(count)]
        stream = e.mul(tile, self.row_tile_bytes)
        zeros = [e.floats(0.0)] * count
        if self.layout.kind == "float":
            sums = self._float_rows(e, stream, tokens, zeros)
        elif self.layout.kind == "superblock":
            sums = self._super_rows(e, stream, tokens, zeros)
        else:
            sums = self._simple_rows(e, stream, tokens, zeros)
        self._store(e, tile, tokens, sums)

    def _tiles(self, e: Emitter, stream: str, sums: list[str], count: int, write_tile: TileWriter) -> list[str]:
        """Add the first `count` tiles of a row of tiles; `write_tile` takes a tile's first byte and first block."""

        def body(index: str, carried: list[str]) -> list[str]:
            base = e.add(stream, e.mul(index, self.layout.tile_bytes))
            return write_tile(base, e.mul(index, self.layout.tile_k // 32), carried)

        return e.loop("%origin", e.index(count), 1, sums, F32, body)

    def _simple_rows(self, e: Emitter, stream: str, tokens: list[str], sums: list[str]) -> list[str]:
        each = self.layout.blocks_per_tile
        whole, rest = divmod(self.k // 32, each)

        def tile(base: str, block: str, carried: list[str]) -> list[str]:
            return self._simple_tile(e, base, block, tokens, carried, each)

        if whole:
            sums = self._tiles(e, stream, sums, whole, tile)
        if rest:
            base = e.add(stream, whole * self.layout.tile_bytes)
            sums = self._simple_tile(e, base, e.index(whole * each), tokens, sums, rest)
        return sums

    def _simple_tile(
        self, e: Emitter, base: str, block: str, tokens: list[str], sums: list[str], count: int
    ) -> list[str]:
        layout = self.layout
        for b in range(count):
            codes = unpack_block(e, layout, e.add(base, b * layout.block_bytes))
            scale = halves(e, e.add(base, layout.scales_offset(b)))
            minimum = halves(e, e.add(base, layout.mins_offset(b))) if layout.has_min else None
            sums = self._block(e, codes, [scale], [minimum], e.add(block, b), tokens, sums)
        return sums

    def _super_rows(self, e: Emitter, stream: str, tokens: list[str], sums: list[str]) -> list[str]:
        def tile(base: str, block: str, carried: list[str]) -> list[str]:
            return self._super_tile(e, base, block, tokens, carried)

        return self._tiles(e, stream, sums, self.k // self.layout.tile_k, tile)

    def _super_tile(self, e: Emitter, base: str, block: str, tokens: list[str], sums: list[str]) -> list[str]:
        layout = self.layout
        d = halves(e, e.add(base, layout.d_offset))
        negative = e.op(f"arith.negf {halves(e, e.add(base, layout.dmin_offset))} : {F32}") if layout.has_min else None
        subs = 32 // layout.sub_block
        for b in range(8):
            codes = unpack_block(e, layout, e.add(base, b * layout.block_bytes))
            scales, minimums = [], []
            for sub in range(b * subs, (b + 1) * subs):
                s = small_integers(e, e.add(base, layout.scales_offset(sub)), signed=not layout.has_min)
                scales.append(e.float_op("mulf", d, s))
                m = small_integers(e, e.add(base, layout.mins_offset(sub)), signed=False) if layout.has_min else None
                minimums.append(e.float_op("mulf", negative, m) if negative and m else None)
            sums = self._block(e, codes, scales, minimums, e.add(block, b), tokens, sums)
        return sums

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
                pairs = [self._integer_dot(e, codes, part, block, token) for token in tokens]
            else:
                pairs = self._float_dots(e, codes, part, block, tokens, minimum is not None)
            sums = [e.fma(value, scale, total) for (value, _), total in zip(pairs, sums, strict=True)]
            if minimum:
                sums = [e.fma(e.splat(x), minimum, total) for (_, x), total in zip(pairs, sums, strict=True)]
        return sums

    def _integer_dot(self, e: Emitter, codes: list[str], part: range, block: str, token: str) -> tuple[str, str]:
        """(sum of d * (code - zero point) * x, sum of d * x) over the groups of `part`: half a block, or all of it."""
        halves = sorted({g // 4 for g in part})
        sums = [e.load_scalar("scales", [token, block, e.index(2 + half)]) for half in halves]
        if self.remainder:
            sums += [e.load_scalar("remainder_sums", [token, block, e.index(half)]) for half in halves]
        x_sum = sums[0]
        for more in sums[1:]:
            x_sum = e.op(f"arith.addf {x_sum}, {more} : f32")
        value = None
        if self.layout.zero_point is not None:
            value = e.splat(e.op(f"arith.mulf {x_sum}, {e.float(-self.layout.zero_point)} : f32"))
        for half in halves:
            total = self._dot16(e, "codes", codes, half, block, token)
            scale = e.load_scalar("scales", [token, block, e.index(half)])
            if self.remainder:
                fine = self._dot16(e, "remainders", codes, half, block, token)
                total = e.op(f"arith.addi {e.op(f'arith.shli {total}, {e.integers(8)} : {I32}')}, {fine} : {I32}")
                scale = e.op(f"arith.mulf {scale}, {e.float(1.0 / 256.0)} : f32")
            dot = e.op(f"arith.sitofp {total} : {I32} to {F32}")
            d = e.splat(scale)
            value = e.fma(dot, d, value) if value else e.float_op("mulf", dot, d)
        assert value is not None
        return value, x_sum

    def _dot16(self, e: Emitter, name: str, codes: list[str], half: int, block: str, token: str) -> str:
        """Sum over one half of the block of codes * activations, i32: at most 16 * 255 * 128, so 8 bits more fit."""
        total = e.integers(0)
        for g in range(4 * half, 4 * half + 4):
            total = dot4(e, total, codes[g], e.load_scalar(name, [token, e.add(e.mul(block, 8), g)]))
        return total

    def _float_dots(
        self, e: Emitter, codes: list[str], part: range, block: str, tokens: list[str], sums: bool
    ) -> list[tuple[str, str]]:
        """As `_integer_dot`, for float32 activations of all tokens (the codes are widened once)."""
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
            return [(total, "") for total in totals]
        x_type = f"vector<{4 * len(part)}xf32>"
        x_sums = [e.reduce("add", e.load("x", [token, k0], x_type), x_type) for token in tokens]
        return list(zip(totals, x_sums, strict=True))

    def _float_rows(self, e: Emitter, stream: str, tokens: list[str], sums: list[str]) -> list[str]:
        size = self.layout.element_bytes

        def body(k: str, carried: list[str]) -> Sequence[str]:
            weight = self._float_weights(e, e.add(stream, e.mul(k, 16 * size)))
            return [
                e.fma(weight, e.splat(e.load_scalar("x", [token, k])), total)
                for token, total in zip(tokens, carried, strict=True)
            ]

        return e.loop("%origin", e.index(self.k), 1, sums, F32, body)

    def _float_weights(self, e: Emitter, at: str) -> str:
        if self.layout.name == "f16":
            return halves(e, at)
        raw = e.load("weight", [at], f"vector<{16 * self.layout.element_bytes}xi8>")
        if self.layout.name == "f32":
            return e.bitcast(raw, I8, F32)
        short = e.bitcast(raw, "vector<32xi8>", "vector<16xbf16>")
        return e.op(f"arith.extf {short} : vector<16xbf16> to {F32}")

    def _store(self, e: Emitter, tile: str, tokens: list[str], sums: list[str]) -> None:
        column = e.mul(tile, 16)
        mask = None
        if self.n % 16:
            left = e.op(f"arith.subi {e.index(self.n)}, {column} : index")
            mask = e.op(f"vector.create_mask {left} : vector<16xi1>")
        if self.bias:
            bias = self._read(e, "bias", [column], mask)
            sums = [e.float_op("addf", value, bias) for value in sums]
        for token, value in zip(tokens, sums, strict=True):
            if self.residual:
                value = e.float_op("addf", value, self._read(e, "residual", [token, column], mask))
            if mask:
                kind = e.memref("y")
                e.do(f"vector.maskedstore %y[{token}, {column}], {mask}, {value} : {kind}, vector<16xi1>, {F32}")
            else:
                e.store(value, "y", [token, column], F32)

    def _read(self, e: Emitter, name: str, at: list[str], mask: str | None) -> str:
        if not mask:
            return e.load(name, at, F32)
        kind, zero = e.memref(name), e.floats(0.0)
        where = ", ".join(at)
        return e.op(f"vector.maskedload %{name}[{where}], {mask}, {zero} : {kind}, vector<16xi1>, {F32} into {F32}")
