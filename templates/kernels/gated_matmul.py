"""activation(x . gate^T) * (x . up^T), quantised as it is made: the first half of a feed-forward block in one kernel.

Sixteen outputs are one half of a block of activations, with a scale of its own, so that each tile can quantise what it
makes and nothing is written in float32.
"""

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.kernels.elementwise import gate_times, quantize_half
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel, memoised
from sharkpack.templates.kernels.matmul_loops import MatmulLoops
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.rows import quantized_outputs
from sharkpack.templates.kernels.streams import Stream

LINE_TILES = 4
"""Tiles whose codes fill a cache line; what stands beside them fills another."""


@memoised
def gated_matmul(n: int, k: int, gate_layout: str, up_layout: str, activation: str) -> Kernel:
    """int8 activations x [rows, k] and packed weights [n, k] -> int8 activations [rows, n]; n a multiple of 32."""
    writer = _GatedMatmul(n, k, gate_layout, up_layout, activation)
    return Kernel(
        name=f"{activation}_matmul_{gate_layout}_{up_layout}_n{n}_k{k}",
        bindings=(
            Binding.of("gate", f"{writer.bytes[0]}xi8"),
            Binding.of("up", f"{writer.bytes[1]}xi8"),
            Binding(name="x_codes", memref="?xi32", tensor=f"?x{k}xi8"),
            Binding(name="x_scales", memref="?xf32", tensor=f"?x{k // 32}x{SIZE}xf32"),
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
        self.products = [MatmulLoops(layout, k, quantized=True, remainder=False, x="x_") for layout in layouts]
        # One stream of tiles, even where gate and up are read one after the other: both halves of a block have to be
        # one workgroup's, which adds up their sums.
        unit = LINE_TILES if n % (16 * LINE_TILES) == 0 else 2
        self.tiles = RowTiles(n, sum(self.bytes), weights=2, unit=unit)

    def write(self, e: Emitter) -> None:
        """Tiles of several tokens are quantised as they are made, of single ones when all weights have been read."""
        kept = _Kept(e, self.tiles)

        def outputs(tiles: list[str], token: str, count: int) -> None:
            tokens = [e.add(token, m) for m in range(count)]
            gate, up = self._products(e, tiles, tokens)
            if count == 1:
                kept.put(tiles[0], token, gate[0], up[0])
                return
            for row, *sums in zip(tokens, gate, up, strict=True):
                quantize_half(e, gate_times(e, self.activation, *sums), row, tiles[0])

        def last(tile: str, token: str) -> None:
            for i in range(self.tiles.unit):
                value = gate_times(e, self.activation, *kept.take(e.add(tile, i), token))
                quantize_half(e, value, "%origin", e.index(i), into="line_")
            _store_line(e, token, tile, self.tiles)

        self.tiles.for_rows(e, "%group_x", outputs, last)

    def _products(self, e: Emitter, tiles: list[str], tokens: list[str]) -> tuple[list[str], list[str]]:
        """[tile][token] of the gate and of `up`; side by side where they are packed alike."""
        streams = [
            [Stream(name, e.mul(tile, nbytes // self.tiles.count)) for tile in tiles]
            for name, nbytes in zip(("gate", "up"), self.bytes, strict=True)
        ]
        if self.alike and (len(tokens) == 1 or e.isa.weight_tiles == 2):
            both = self.products[0].along_k(e, [*streams[0], *streams[1]], tokens)
            half = len(both) // 2
            return both[:half], both[half:]
        gate, up = (p.along_k(e, mine, tokens) for p, mine in zip(self.products, streams, strict=True))
        return gate, up


class _Kept:
    """The results of single tokens' matmuls, until the workgroup has read all of its weights.

    From a sum to its code it is some 200 cycles, and few instructions: after each tile, the stream of weights would
    stand still for them; of all tiles they are worked on together.
    """

    def __init__(self, e: Emitter, tiles: RowTiles) -> None:
        self.e, self.singles = e, e.isa.token_tiles[-1]
        self.first = tiles.first(e, "%group_x")
        for name in ("gates", "ups"):
            e.scratch(name, f"{tiles.most * self.singles}x16xf32")
        e.scratch("line_codes", f"1x{4 * tiles.unit}xi32")
        e.scratch("line_scales", f"1x{tiles.unit // 2}x{SIZE}xf32")

    def put(self, tile: str, token: str, gate: str, up: str) -> None:
        for name, value in (("gates", gate), ("ups", up)):
            self.e.store(value, name, [self._slot(tile, token), "%origin"], F32)

    def take(self, tile: str, token: str) -> tuple[str, str]:
        """(the gate's sums, those of `up`)."""
        slot = [self._slot(tile, token), "%origin"]
        return self.e.load("gates", slot, F32), self.e.load("ups", slot, F32)

    def _slot(self, tile: str, token: str) -> str:
        e = self.e
        mine = e.op(f"arith.subi {tile}, {self.first} : index")
        return e.add(e.mul(mine, self.singles), e.op(f"arith.remui {token}, {e.index(self.singles)} : index"))


def _store_line(e: Emitter, token: str, tile: str, tiles: RowTiles) -> None:
    """Store the codes and scales of `unit` tiles from `tile` on."""
    block = e.op(f"arith.divui {tile}, {e.index(2)} : index")
    unit = tiles.unit
    store = e.store_past_caches if unit == LINE_TILES and tiles.fill_caches else e.store
    for name, at, element in (("codes", [e.mul(tile, 4)], "i32"), ("scales", [block, "%origin"], "f32")):
        line = f"vector<{4 * unit}x{element}>"
        origin = ["%origin"] * (1 + len(at))
        store(e.load(f"line_{name}", origin, line), name, [token, *at], line)
