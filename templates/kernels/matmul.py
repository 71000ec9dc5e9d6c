"""y[rows, n] = x[rows, k] . weight[n, k]^T (+ bias[n]) (+ residual[rows, n]), the weight a packed stream.

A workgroup owns some tiles of 16 outputs and takes `token_tile` tokens at a time, so that a tile's codes are unpacked
once for them all. The tokens left over, and decode's single one, go one at a time through `streams` tiles at once: two
streams of weights keep more of the memory busy than one. Both numbers are the instruction set's.
"""

from typing import Literal

from sharkpack.formats.packing import LAYOUTS, PackedLayout, packed_nbytes
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.products import Products

Activations = Literal["float32", "int8", "int8_remainder"]

"""Most tiles that any instruction set reads at once: workgroups are shared out in such steps."""

GROUP_BYTES = 128 * 1024
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
        self.products = Products(layout, k, quantized=self.quantized, remainder=self.remainder)
        self.row_tiles = -(-n // 16)
        self.bytes = packed_nbytes(layout, (n, k))
        self.row_tile_bytes = self.bytes // self.row_tiles
        share = min(GROUP_BYTES // self.row_tile_bytes, -(-self.row_tiles // 4))
        self.tiles_each = STREAMS * max(1, share // STREAMS)
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
        tokens, streams = e.isa.token_tile, e.isa.streams
        first = e.mul("%group_x", self.tiles_each)
        last = e.minimum(e.add(first, self.tiles_each), e.index(self.row_tiles))
        whole = e.op(f"arith.subi %rows, {e.op(f'arith.remui %rows, {e.index(tokens)} : index')} : index")
        part = e.op(f"arith.divui {e.op(f'arith.subi {last}, {first} : index')}, {e.index(streams)} : index")

        def many_tokens(tile: str) -> None:
            e.each("%origin", whole, tokens, lambda token: self._outputs(e, [tile], token, tokens))

        def single_tokens(tiles: list[str]) -> None:
            e.each(whole, "%rows", 1, lambda token: self._outputs(e, tiles, token, 1))

        def side_by_side(i: str) -> None:
            tile = e.add(first, i)
            single_tokens([tile if s == 0 else e.add(tile, e.mul(part, s)) for s in range(streams)])

        e.each(first, last, 1, many_tokens)
        e.each("%origin", part, 1, side_by_side)
        e.each(e.add(first, e.mul(part, streams)), last, 1, lambda tile: single_tokens([tile]))

    def _outputs(self, e: Emitter, tiles: list[str], token: str, count: int) -> None:
        """16 outputs of each tile for `count` tokens."""
        tokens = [e.add(token, m) for m in range(count)]
        sums = self.products.along_k(e, [e.mul(tile, self.row_tile_bytes) for tile in tiles], tokens)
        for i, tile in enumerate(tiles):
            self._store(e, tile, tokens, sums[i * count : (i + 1) * count])

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
