"""Matmul with the weights of chosen experts: a workgroup reads which expert its row took, and its stream alone.

The weights of all experts are one packed matrix [experts * n, k]; n is whole tiles: an expert's stream is contiguous.
A row's choices are taken one at a time, in prefill as in decode.
"""

from typing import Literal

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel, memoised
from sharkpack.templates.kernels.matmul_loops import MatmulLoops
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.streams import Stream


@memoised
def expert_matmul(
    experts: int,
    top_k: int,
    n: int,
    k: int,
    layout_name: str,
    activations: Literal["float32", "int8"],
    *,
    each_choice: bool,
) -> Kernel:
    """x [rows, k] (each_choice: [rows, top_k * k]) and chosen [rows, top_k] i64 -> [rows, top_k * n] float32.

    n: outputs of an expert, a multiple of 16. Float layouts take float32 activations only.
    """
    writer = _ExpertMatmul(experts, top_k, n, k, layout_name, activations, each_choice)
    return Kernel(
        name=f"expert_matmul_{layout_name}_{activations}_{top_k}_of_{experts}_n{n}_k{k}" + "_each" * each_choice,
        bindings=writer.bindings(),
        dimensions={"rows": ("chosen", 0)},
        row_tile=1,
        groups=top_k * writer.tiles.groups,
        body=writer.write,
    )


class _ExpertMatmul:
    def __init__(
        self, experts: int, top_k: int, n: int, k: int, layout_name: str, activations: str, each_choice: bool
    ) -> None:
        layout = LAYOUTS[layout_name]
        self.top_k, self.n, self.k, self.each_choice = top_k, n, k, each_choice
        self.quantized = activations == "int8"
        self.products = MatmulLoops(layout, k, quantized=self.quantized, remainder=False)
        self.bytes = packed_nbytes(layout, (experts * n, k))
        self.expert_bytes = self.bytes // experts
        self.tiles = RowTiles(n, self.expert_bytes)

    def bindings(self) -> tuple[Binding, ...]:
        """In memory a row and choice is a row of its own."""
        wide, k, n = self.k * (self.top_k if self.each_choice else 1), self.k, self.n
        found = [Binding.of("weight", f"{self.bytes}xi8")]
        if self.quantized:
            found.append(Binding(name="codes", memref="?xi32", tensor=f"?x{wide}xi8"))
            found.append(Binding(name="scales", memref="?xf32", tensor=f"?x{wide // 32}x{SIZE}xf32"))
        else:
            found.append(Binding(name="x", memref=f"?x{k}xf32", tensor=f"?x{wide}xf32"))
        found.append(Binding.of("chosen", f"?x{self.top_k}xi64"))
        return (*found, Binding(name="y", memref=f"?x{n}xf32", tensor=f"?x{self.top_k * n}xf32", access="write"))

    def write(self, e: Emitter) -> None:
        row, groups = "%group_x", e.index(self.tiles.groups)
        choice = e.op(f"arith.divui %group_y, {groups} : index")
        expert = e.op(f"arith.index_cast {e.load_scalar('chosen', [row, choice])} : i64 to index")
        start = e.mul(expert, self.expert_bytes)
        made = e.add(e.mul(row, self.top_k), choice)
        given = made if self.each_choice else row
        group = e.op(f"arith.remui %group_y, {groups} : index")

        def outputs(tiles: list[str]) -> None:
            starts = [
                Stream("weight", e.add(start, e.mul(tile, self.expert_bytes // self.tiles.count))) for tile in tiles
            ]
            sums = self.products.along_k(e, starts, [given])
            for tile, value in zip(tiles, sums, strict=True):
                e.store(value, "y", [made, e.mul(tile, 16)], F32)

        self.tiles.side_by_side(e, group, outputs)
