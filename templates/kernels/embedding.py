"""Rows of a packed weight as float32: the embedding table is stored once, as the output head's kernel wants it."""

from sharkpack.formats.packing import LAYOUTS, PackedLayout, packed_nbytes
from sharkpack.formats.quant import ScaleType
from sharkpack.templates.kernels.emitter import Binding, Emitter
from sharkpack.templates.kernels.kernel import Kernel


def embedding(n: int, k: int, layout_name: str) -> Kernel:
    """y[rows, k] = the rows `tokens` [rows] of a packed [n, k] table. Token ids must lie in 0..n-1."""
    layout = LAYOUTS[layout_name]
    size = packed_nbytes(layout, (n, k))
    writer = _Embedding(k, layout, size // -(-n // 16))
    return Kernel(
        name=f"embedding_{layout_name}_n{n}_k{k}",
        bindings=(
            Binding.of("tokens", "?xi64"),
            Binding.of("weight", f"{size}xi8"),
            Binding.of("y", f"?x{k}xf32", access="write"),
        ),
        dimensions={"rows": ("tokens", 0)},
        row_tile=1,
        body=writer.write,
    )


class _Embedding:
    """Plain scalar code: one row of one table a token is too little to be worth more."""

    def __init__(self, k: int, layout: PackedLayout, row_tile_bytes: int) -> None:
        self.k, self.layout, self.row_tile_bytes = k, layout, row_tile_bytes

    def write(self, e: Emitter) -> None:
        row = "%group_x"
        token = e.op(f"arith.index_cast {e.load_scalar('tokens', [row])} : i64 to index")
        stream = e.mul(e.op(f"arith.divui {token}, {e.index(16)} : index"), self.row_tile_bytes)
        lane = e.op(f"arith.remui {token}, {e.index(16)} : index")
        if self.layout.kind == "float":
            e.each("%origin", e.index(self.k), 1, lambda k: self._float(e, row, stream, lane, k))
        else:
            e.each("%origin", e.index(self.k // 32), 1, lambda block: self._block(e, row, stream, lane, block))

    def _float(self, e: Emitter, row: str, stream: str, lane: str, k: str) -> None:
        size = self.layout.element_bytes
        at = e.add(stream, e.mul(e.add(e.mul(k, 16), lane), size))
        raw = e.load("weight", [at], f"vector<{size}xi8>")
        if self.layout.name == "f16":
            value = self._half(e, raw)
        elif self.layout.name == "f32":
            bits = e.bitcast(raw, "vector<4xi8>", "vector<1xf32>")
            value = e.op(f"vector.extract {bits}[0] : f32 from vector<1xf32>")
        else:
            value = self._upper_half(e, raw)
        e.store_scalar(value, "y", [row, k])

    def _half(self, e: Emitter, raw: str) -> str:
        bits = e.bitcast(raw, "vector<2xi8>", "vector<1xf16>")
        half = e.op(f"vector.extract {bits}[0] : f16 from vector<1xf16>")
        return e.op(f"arith.extf {half} : f16 to f32")

    def _upper_half(self, e: Emitter, raw: str) -> str:
        bits = e.bitcast(raw, "vector<2xi8>", "vector<1xi16>")
        short = e.op(f"vector.extract {bits}[0] : i16 from vector<1xi16>")
        wide = e.op(f"arith.extui {short} : i16 to i32")
        lifted = e.op(f"arith.shli {wide}, {e.constant('16', 'i32')} : i32")
        return e.op(f"arith.bitcast {lifted} : i32 to f32")

    def _half_at(self, e: Emitter, base: str, offset: int, lane: str, kind: ScaleType = "float16") -> str:
        raw = e.load("weight", [e.add(e.add(base, offset), e.mul(lane, 2))], "vector<2xi8>")
        return self._upper_half(e, raw) if kind == "bfloat16" else self._half(e, raw)

    def _block(self, e: Emitter, row: str, stream: str, lane: str, block: str) -> None:
        layout = self.layout
        each = layout.tile_k // 32
        tile = e.add(stream, e.mul(e.op(f"arith.divui {block}, {e.index(each)} : index"), layout.tile_bytes))
        inner = e.op(f"arith.remui {block}, {e.index(each)} : index")
        codes = e.add(tile, e.mul(inner, layout.block_bytes))
        scales = [self._scale(e, tile, inner, sub, lane) for sub in range(32 // layout.sub_block)]
        k0 = e.mul(block, 32)
        for g in range(8):
            for j in range(4):
                scale, minimum = scales[(4 * g + j) // layout.sub_block]
                value = e.op(f"arith.mulf {self._code(e, codes, lane, g, j)}, {scale} : f32")
                if minimum:
                    value = e.op(f"arith.addf {value}, {minimum} : f32")
                e.store_scalar(value, "y", [row, e.add(k0, 4 * g + j)])

    def _scale(self, e: Emitter, tile: str, inner: str, sub: int, lane: str) -> tuple[str, str | None]:
        layout = self.layout
        if layout.kind == "simple":
            block = e.add(tile, e.mul(inner, 32))
            scale = self._half_at(e, block, layout.scales_offset(), lane, layout.scale_type)
            return scale, self._half_at(e, block, layout.mins_offset(), lane) if layout.has_min else None
        d = self._half_at(e, tile, layout.d_offset, lane)
        if layout.unit != 1.0:
            d = e.op(f"arith.mulf {d}, {e.float(layout.unit)} : f32")
        if layout.scale_type == "none":
            return d, None
        at = e.add(e.mul(e.add(e.mul(inner, 32 // layout.sub_block), sub), 16), lane)
        stored = self._byte(e, e.add(e.add(tile, layout.scales_offset()), at), signed=layout.scale_type == "int8")
        small = self._integer(e, "andi", stored, 15) if layout.scale_type == "nibbles" else stored
        scale = self._times(e, d, small)
        if not layout.has_min:
            return scale, None
        dmin = self._half_at(e, tile, layout.dmin_offset, lane)
        if layout.scale_type == "nibbles":
            m = self._integer(e, "shrui", stored, 4)
        else:
            m = self._byte(e, e.add(e.add(tile, layout.mins_offset()), at), signed=False)
        return scale, e.op(f"arith.negf {self._times(e, dmin, m)} : f32")

    def _times(self, e: Emitter, scale: str, integer: str) -> str:
        return e.op(f"arith.mulf {scale}, {e.op(f'arith.sitofp {integer} : i32 to f32')} : f32")

    def _byte(self, e: Emitter, at: str, *, signed: bool = False) -> str:
        return e.op(f"arith.{'extsi' if signed else 'extui'} {e.load_scalar('weight', [at])} : i8 to i32")

    def _integer(self, e: Emitter, name: str, a: str, b: int | str) -> str:
        return e.op(f"arith.{name} {a}, {e.constant(str(b), 'i32') if isinstance(b, int) else b} : i32")

    def _code(self, e: Emitter, codes: str, lane: str, g: int, j: int) -> str:
        """Returns the value of the code of k = 4 g + j of row `lane`, as f32."""
        layout = self.layout
        element = e.add(e.mul(lane, 4), j)
        if layout.bits == 8:
            code = self._byte(e, e.add(e.add(codes, 64 * g), element))
        elif layout.bits < 4:
            code = self._field(e, e.add(e.add(codes, 64 * (g // 4)), element), 2 * (g % 4), 3)
        else:
            code = self._field(e, e.add(e.add(codes, 64 * (g % 4)), element), 4 * (g // 4), 15)
        if layout.has_bit_plane:
            byte = e.op(f"arith.divui {element}, {e.index(8)} : index")
            bit = e.op(f"arith.index_cast {e.op(f'arith.remui {element}, {e.index(8)} : index')} : index to i32")
            high = self._field(e, e.add(e.add(codes, layout.plane_offset + 8 * g), byte), bit, 1)
            code = self._integer(e, "ori", code, self._integer(e, "shli", high, layout.bits - 1))
        if layout.bits == 6:
            high = self._field(e, e.add(e.add(codes, layout.plane_offset + 64 * (g // 4)), element), 2 * (g % 4), 3)
            code = self._integer(e, "ori", code, self._integer(e, "shli", high, 4))
        if layout.values is not None:
            return self._value(e, code)
        if layout.zero_point is not None:
            code = self._integer(e, "subi", code, layout.zero_point)
        return e.op(f"arith.sitofp {code} : i32 to f32")

    def _field(self, e: Emitter, at: str, shift: int | str, mask: int) -> str:
        return self._integer(e, "andi", self._integer(e, "shrui", self._byte(e, at), shift), mask)

    def _value(self, e: Emitter, code: str) -> str:
        """The table's value of a code, as f32."""
        values = self.layout.values or ()
        kind = f"vector<{len(values)}xf32>"
        table = e.constant(f"dense<[{', '.join(f'{float(value)}' for value in values)}]>", kind)
        at = e.op(f"arith.index_cast {code} : i32 to index")
        return e.op(f"vector.extract {table}[{at}] : f32 from {kind}")
