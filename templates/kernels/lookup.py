"""The leaf of layouts whose codes are numbers of table entries: 64 look-ups in a table of 16 bytes."""

from collections.abc import Sequence

from sharkpack.templates.kernels.emitter import I8, Emitter
from sharkpack.templates.kernels.registers import intrinsic, join, split, vector

_SHUFFLES = {
    ("pshufb", 16): "llvm.x86.ssse3.pshuf.b.128",
    ("pshufb", 32): "llvm.x86.avx2.pshuf.b",
    ("pshufb", 64): "llvm.x86.avx512.pshuf.b.512",
    ("tbl", 16): "llvm.aarch64.neon.tbl1.v16i8",
}


def lookup16(e: Emitter, codes: str, table: Sequence[int]) -> str:
    """table[code] of 64 codes, each 0..15; `table` is 16 bytes, -128..255, known when the kernel is written."""
    assert len(table) == 16
    entries = [(value + 128) % 256 - 128 for value in table]
    if e.isa.shuffle == "none":
        return _select(e, codes, entries)
    width = e.isa.register_bytes
    kind = vector(width, "i8")
    # The shuffles of wide registers look up within 16 bytes each: every 16 bytes hold the table.
    repeated = e.constant(f"dense<[{', '.join(map(str, entries * (width // 16)))}]>", kind)
    name = _SHUFFLES[e.isa.shuffle, width]
    parts = split(e, codes, "i8", 64)
    return join(e, [intrinsic(e, name, (repeated, part), (kind, kind), kind) for part in parts], "i8", 64)


def _select(e: Emitter, codes: str, entries: list[int]) -> str:
    """Without a shuffle: halve the table by one bit of the code after the other."""
    values = [e.integers(entry, I8) for entry in entries]
    for bit in range(4):
        masked = e.op(f"arith.andi {codes}, {e.integers(1 << bit, I8)} : {I8}")
        odd = e.op(f"arith.cmpi ne, {masked}, {e.integers(0, I8)} : {I8}")
        values = [
            e.op(f"arith.select {odd}, {high}, {low} : vector<64xi1>, {I8}")
            for low, high in zip(values[::2], values[1::2], strict=True)
        ]
    return values[0]
