"""Sums along k of weights that are stored as floats times float32 activations (binding `x`)."""

from sharkpack.formats.packing import PackedLayout
from sharkpack.templates.kernels.codes import halves
from sharkpack.templates.kernels.emitter import F32, I8, Emitter
from sharkpack.templates.kernels.streams import Stream


def float_rows(e: Emitter, layout: PackedLayout, k: int, streams: list[Stream], tokens: list[str]) -> list[str]:
    """[stream][token] vectors of 16 outputs: the whole dot products of streams of a float layout."""

    def body(index: str, carried: list[str]) -> list[str]:
        found: list[str] = []
        for stream in streams:
            weight = _weights(e, layout, stream.after(e, e.mul(index, 16 * layout.element_bytes)))
            for token in tokens:
                x = e.splat(e.load_scalar("x", [token, index]))
                found.append(e.fma(weight, x, carried[len(found)]))
        return found

    sums = [e.floats(0.0)] * (len(streams) * len(tokens))
    return e.loop("%origin", e.index(k), 1, sums, F32, body)


def _weights(e: Emitter, layout: PackedLayout, at: Stream) -> str:
    """The 16 weights at the head of a stream, as f32."""
    if layout.name == "f16":
        return halves(e, at)
    raw = at.load(e, 0, 16 * layout.element_bytes)
    if layout.name == "f32":
        return e.bitcast(raw, I8, F32)
    short = e.bitcast(raw, "vector<32xi8>", "vector<16xbf16>")
    return e.op(f"arith.extf {short} : vector<16xbf16> to {F32}")
