"""Attention in kernels for CPUs: for many tokens one after the other, for a decode step all of it in one."""

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.templates.kernels.attention import attention
from sharkpack.templates.kernels.attention_heads import Output
from sharkpack.templates.kernels.attention_split_k import room_for_parts
from sharkpack.templates.kernels.attention_step import attention_step
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.kernels.rope_and_store import rope_and_store
from sharkpack.templates.kernels.rows import rms_norm
from sharkpack.templates.lowering.cpu.writer import Writer
from sharkpack.templates.lowering.program import Function, OperatorCall, Value
from sharkpack.templates.lowering.text import Buffer, Lines, Tensor

_CACHE_DTYPES: dict[str, CacheDtype] = {"f16": "f16", "f32": "f32", "si8": "i8"}
"""By torch's element types."""


def begin_parts(function: Function, lines: Lines) -> dict[int, Tensor]:
    """Zeros [rows, room_for_parts] for the split-K attention of a decode step, which all of its layers use in turn."""
    found: dict[int, Tensor] = {}
    for call in function.calls:
        if call.operator == "attend" and call.flag("step"):
            room = _room(call)
            if room not in found:
                found[room] = _zeros(lines, call.input("q").shape[0], room)
    return found


def write_attend(w: Writer, call: OperatorCall) -> None:
    y = call.results["y"]
    output: Output = "int8" if w.uses.only_int8(y) else "float32"
    given: dict[str, Tensor | None] = dict(call.inputs)
    given |= {name: w.float32(call.input(name)) for name in ("q", "k", "v", "cache")}
    found = (_step if call.flag("step") else _tokens)(w, call, given, output)
    w.give(call.results["cache"], {"x": found.pop("cache")}, "float32")
    w.give(y, found, output)


def _step(w: Writer, call: OperatorCall, given: dict[str, Tensor | None], output: Output) -> dict[str, Buffer]:
    """One token of each sequence."""
    kernel = attention_step(
        _cache(call),
        call.integer("heads"),
        call.width("angles"),
        call.number("scale"),
        window=call.integer("window") or None,
        cap=call.number("softcap"),
        epsilon=call.number("epsilon") if call.has("q_norm") else None,
        output=output,
    )
    room = _room(call)
    given["parts"] = w.parts[room]
    found = w.call(kernel, given, call.results["y"].shape[0], {"layer": call.integer("layer")})
    w.parts[room] = found.pop("parts")
    return found


def _tokens(w: Writer, call: OperatorCall, given: dict[str, Tensor | None], output: Output) -> dict[str, Buffer]:
    """Any number of tokens of each sequence."""
    cache, heads, rows = _cache(call), call.integer("heads"), call.results["y"].shape[0]
    layer = {"layer": call.integer("layer")}
    if call.has("q_norm"):
        for name, count in (("q", heads), ("k", cache.kv_heads)):
            norm = rms_norm(cache.key_head_dim, call.number("epsilon"), output="float32", heads=count)
            given[name] = w.call(norm, {"x": given[name], "weight": given[f"{name}_norm"]}, rows)["y"]
    stored = w.call(rope_and_store(cache, heads, call.width("angles")), given, rows, layer)
    given |= {"cache": stored["cache"], "q": stored["q_out"]}
    window, cap = call.integer("window") or None, call.number("softcap")
    kernel = attention(cache, heads, call.number("scale"), window=window, cap=cap, output=output)
    return w.call(kernel, given, rows, layer)


def _cache(call: OperatorCall) -> CacheLayout:
    return CacheLayout(
        dtype=_CACHE_DTYPES[call.input("cache").element],
        page_size=call.integer("page_size"),
        layers=call.integer("layers"),
        kv_heads=call.integer("kv_heads"),
        key_head_dim=call.integer("key_head_dim"),
        value_head_dim=call.integer("value_head_dim"),
    )


def _room(call: OperatorCall) -> int:
    return room_for_parts(call.integer("heads"), call.integer("value_head_dim"))


def _zeros(lines: Lines, rows: int | None, width: int) -> Value:
    """Write zeros as torch does: the compiler makes other code of a splat."""
    assert rows is not None, "the sequences of a decode step are known before run time"
    value = Value(lines.fresh(), (rows, width), "f32")
    sizes = ", ".join(lines.op(f"torch.constant.int {size}") for size in (rows, width))
    shape = lines.op(f"torch.prim.ListConstruct {sizes} : (!torch.int, !torch.int) -> !torch.list<int>")
    none, false = lines.op("torch.constant.none"), lines.op("torch.constant.bool false")
    device = lines.op('torch.constant.device "cpu"')
    kinds = "!torch.list<int>, !torch.none, !torch.none, !torch.Device, !torch.bool"
    zeros = f"torch.aten.zeros {shape}, {none}, {none}, {device}, {false} : {kinds} -> {value.torch_type}"
    lines.lines.append(f"    {value.name} = {zeros}")
    return value
