"""activation(x . gate^T) * (x . up^T), quantised as it is made: the first half of a feed-forward block in one kernel.

Sixteen outputs are one half of a block of activations, with a scale of its own, so that each tile can quantise what it
makes and nothing is written in float32.
"""

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.kernels.elementwise import gate_times, quantize_half
from sharkpack.templates.kernels.emitter import Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.kernels.products import Products
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.rows import quantized_outputs
from sharkpack.templates.kernels.streams import Stream


def gated_matmul(n: int, k: int, gate_layout: str, up_layout: str, activation: str) -> Kernel:
    """int8 activations x [rows, k] and packed weights [n, k] -> int8 activations [rows, n]; n a multiple of 32."""
    writer = _GatedMatmul(n, k, gate_layout, up_layout, activation)
    return Kernel(
        name=f"{activation}_matmul_{gate_layout}_{up_layout}_n{n}_k{k}",
        bindings=(
            Binding.of("gate", f"{writer.bytes[0]}xi8"),
            Binding.of("up", f"{writer.bytes[1]}xi8"),
            Binding(name="x_codes", memref=f"?x{k // 4}xi32", tensor=f"?x{k}xi8"),
            Binding.of("x_scales", f"?x{k // 32}x{SIZE}xf32"),
            *quantized_outputs(n),
        ),
        dimensions={"rows": ("x_codes", 0)},
        groups=writer.tiles.groups,
        body=writer.write,
    )


class _GatedMatmul:
    def __init__(self, n: int, k: int, gate_layout: str, up_layout: str, activation: str) -> None:
        layouts = [LAYOUTS[gate_layout], LAYOUTS[up_layout]]
        self.activation, self.alike = activation, gate_layout == up_layout
        self.bytes = [packed_nbytes(layout, (n, k)) for layout in layouts]
        self.products = [Products(layout, k, quantized=True, remainder=False, x="x_") for layout in layouts]
        # One stream of tiles, even where gate and up are read one after the other: both halves of a block have to be
        # one workgroup's, which adds up their sums.
        self.tiles = RowTiles(n, sum(self.bytes), weights=2)

    def write(self, e: Emitter) -> None:
        def outputs(tiles: list[str], token: str, count: int) -> None:
            tokens = [e.add(token, m) for m in range(count)]
            gate, up = self._products(e, tiles, tokens)
            for i, tile in enumerate(tiles):
                for m, row in enumerate(tokens):
                    value = gate_times(e, self.activation, gate[i * count + m], up[i * count + m])
                    quantize_half(e, value, row, tile)

        self.tiles.for_rows(e, "%group_x", outputs)

    def _products(self, e: Emitter, tiles: list[str], tokens: list[str]) -> tuple[list[str], list[str]]:
        """[tile][token] of the gate and of `up`; side by side where one token leaves the registers to both."""
        streams = [
            [Stream(name, e.mul(tile, nbytes // self.tiles.count)) for tile in tiles]
            for name, nbytes in zip(("gate", "up"), self.bytes, strict=True)
        ]
        if self.alike and len(tokens) == 1:
            both = self.products[0].along_k(e, [*streams[0], *streams[1]], tokens)
            return both[: len(tiles)], both[len(tiles) :]
        gate, up = (p.along_k(e, mine, tokens) for p, mine in zip(self.products, streams, strict=True))
        return gate, up
