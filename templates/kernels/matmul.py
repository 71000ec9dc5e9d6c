"""y[rows, n] = x[rows, k] . weight[n, k]^T (+ bias[n]) (+ residual[rows, n]), the weight a packed stream.

One kernel may hold several products of the same activations: a workgroup then belongs to one of them, and a dispatch
is saved for each of the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sharkpack.formats.packing import LAYOUTS, packed_nbytes
from sharkpack.templates.kernels.activation_block import SIZE
from sharkpack.templates.kernels.emitter import F32, Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel, memoised
from sharkpack.templates.kernels.matmul_loops import MatmulLoops
from sharkpack.templates.kernels.row_tiles import RowTiles
from sharkpack.templates.kernels.streams import Stream
from sharkpack.templates.kernels.workgroups import SIZES, best

Activations = Literal["float32", "int8", "int8_remainder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedMatmul:
    """One matmul of several in a kernel; `suffix` ends the names of its own bindings."""

    n: int
    k: int
    layout: str
    activations: Activations
    bias: bool = False
    suffix: str


@memoised
def matmul(n: int, k: int, layout_name: str, activations: Activations, *, bias: bool, residual: bool) -> Kernel:
    """The kernel for one shape; float layouts (f32, f16, bf16) take float32 activations only."""
    part = MatmulPart(n, k, layout_name, activations, bias=bias, residual=residual)
    return Kernel(
        name=f"matmul_{part.tag}_k{k}",
        bindings=(*part.inputs(), *activation_bindings(k, activations), part.output()),
        dimensions={"rows": ("x" if activations == "float32" else "codes", 0)},
        groups=part.tiles.groups,
        body=lambda e: part.write(e, "%group_x"),
    )


@memoised
def joint_matmul(joined: tuple[JoinedMatmul, ...]) -> Kernel:
    """Matmuls of the same int8 activations; with residual bytes if one wants them."""
    k = joined[0].k
    parts = [MatmulPart(m.n, m.k, m.layout, m.activations, bias=m.bias, suffix=m.suffix) for m in joined]
    finest: Activations = "int8_remainder" if any(part.remainder for part in parts) else "int8"
    inputs = [binding for part in parts for binding in part.inputs()]
    nbytes = sum(part.bytes for part in parts)
    for part in parts:
        part.tiles = RowTiles(part.n, part.bytes, nbytes)
    together = best(SIZES, lambda size: [group for part in parts for group in part.tiles.groups_of(size)])
    for part in parts:
        part.tiles.resize(together)

    def body(e: Emitter) -> None:
        _choose(e, "%group_x", [(part.tiles.groups, part.write) for part in parts])

    return Kernel(
        name="matmul_" + "_".join(part.tag for part in parts) + f"_k{k}",
        bindings=(*inputs, *activation_bindings(k, finest), *(part.output() for part in parts)),
        dimensions={"rows": ("codes", 0)},
        groups=sum(part.tiles.groups for part in parts),
        body=body,
    )


def activation_bindings(k: int, activations: Activations) -> list[Binding]:
    """The bindings of x [rows, k] as matmuls read it.

    float32, or int8 codes with their scales (and residual bytes with their sums), which are addressed from one row to
    the next (activations.py).
    """
    if activations == "float32":
        return [Binding.of("x", f"?x{k}xf32")]
    found = [
        Binding(name="codes", memref="?xi32", tensor=f"?x{k}xi8"),
        Binding(name="scales", memref="?xf32", tensor=f"?x{k // 32}x{SIZE}xf32"),
    ]
    if activations == "int8_remainder":
        found.append(Binding(name="remainders", memref="?xi32", tensor=f"?x{k}xi8"))
        found.append(Binding(name="remainder_sums", memref="?xf32", tensor=f"?x{k // 32}x2xf32"))
    return found


def _choose(e: Emitter, group: str, choices: Sequence[tuple[int, Callable[[Emitter, str], None]]]) -> None:
    """Give `group` to the choice whose share of the workgroups it falls into, counted from that share's first."""
    (count, write), *others = choices
    if not others:
        write(e, group)
        return
    mine = e.op(f"arith.cmpi ult, {group}, {e.index(count)} : index")

    def pass_on() -> None:
        _choose(e, e.op(f"arith.subi {group}, {e.index(count)} : index"), others)

    e.branch(mine, lambda: write(e, group), pass_on)


class MatmulPart:
    """One matmul of a kernel; `suffix` ends the names of its own bindings."""

    def __init__(
        self,
        n: int,
        k: int,
        layout_name: str,
        activations: Activations,
        *,
        bias: bool = False,
        residual: bool = False,
        suffix: str = "",
    ) -> None:
        self.n, self.k, self.bias, self.residual, self.suffix = n, k, bias, residual, suffix
        self.remainder = activations == "int8_remainder"
        self.products = MatmulLoops(
            LAYOUTS[layout_name],
            k,
            quantized=activations != "float32",
            remainder=self.remainder,
        )
        self.bytes = packed_nbytes(LAYOUTS[layout_name], (n, k))
        self.tiles = RowTiles(n, self.bytes)
        self.tag = f"{layout_name}_{activations}_n{n}" + "_bias" * bias + "_residual" * residual

    def inputs(self) -> list[Binding]:
        """The bindings that it reads besides the activations."""
        n, suffix = self.n, self.suffix
        found = [Binding.of(f"weight{suffix}", f"{self.bytes}xi8")]
        if self.bias:
            found.append(Binding.of(f"bias{suffix}", f"{n}xf32"))
        if self.residual:
            found.append(Binding.of(f"residual{suffix}", f"?x{n}xf32"))
        return found

    def output(self) -> Binding:
        shape = f"?x{self.n}xf32"
        return Binding.of(f"y{self.suffix}", shape, access="write")

    def write(self, e: Emitter, group: str) -> None:
        """Emit the work of workgroup `group` of this matmul."""

        def outputs(tiles: list[str], token: str, count: int) -> None:
            tokens = [e.add(token, m) for m in range(count)]
            weight, each = f"weight{self.suffix}", self.bytes // self.tiles.count
            starts = [Stream(weight, e.mul(tile, each)) for tile in tiles]
            sums = self.products.along_k(e, starts, tokens)
            for i, tile in enumerate(tiles):
                self._store(e, tile, tokens, sums[i * count : (i + 1) * count])

        self.tiles.for_rows(e, group, outputs)

    def _store(self, e: Emitter, tile: str, tokens: list[str], sums: list[str]) -> None:
        column, y = e.mul(tile, 16), f"y{self.suffix}"
        mask = None
        if self.n % 16:
            left = e.op(f"arith.subi {e.index(self.n)}, {column} : index")
            mask = e.op(f"vector.create_mask {left} : vector<16xi1>")
        if self.bias:
            bias = self._read(e, f"bias{self.suffix}", [column], mask)
            sums = [e.float_op("addf", value, bias) for value in sums]
        for token, value in zip(tokens, sums, strict=True):
            if self.residual:
                value = e.float_op("addf", value, self._read(e, f"residual{self.suffix}", [token, column], mask))
            if mask:
                kind = e.memref(y)
                e.do(f"vector.maskedstore %{y}[{token}, {column}], {mask}, {value} : {kind}, vector<16xi1>, {F32}")
            elif self.tiles.fill_caches and len(tokens) == 1:
                e.store_past_caches(value, y, [token, column], F32)
            else:
                e.store(value, y, [token, column], F32)

    def _read(self, e: Emitter, name: str, at: list[str], mask: str | None) -> str:
        if not mask:
            return e.load(name, at, F32)
        kind, zero = e.memref(name), e.floats(0.0)
        where = ", ".join(at)
        return e.op(f"vector.maskedload %{name}[{where}], {mask}, {zero} : {kind}, vector<16xi1>, {F32} into {F32}")
