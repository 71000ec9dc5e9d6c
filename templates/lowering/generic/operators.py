"""Writes the function that computes a call of an operator, from its static arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.formats.packing import LAYOUTS
from sharkpack.templates.kernels.cache import CacheLayout
from sharkpack.templates.lowering.generic.attend import Attention, attend
from sharkpack.templates.lowering.generic.experts import expert_matmul, route
from sharkpack.templates.lowering.generic.paged import CallRows
from sharkpack.templates.lowering.generic.rows import embedding, gated, matmul, rms_norm
from sharkpack.templates.lowering.generic.tensors import Size, Tensor, Writer
from sharkpack.templates.lowering.generic.weights import PackedWeight
from sharkpack.templates.lowering.program import OperatorCall, Value

LAYER = "layer"
"""The static argument that a function is given when it runs, so that all layers have one."""

Given = Mapping[str, Tensor]
"""A call's tensors, without those that are left out."""


def write(name: str, call: OperatorCall) -> str:
    """Writes the function `name`, whose parameters are the call's tensors and, where it has one, its layer."""
    w = Writer()
    inputs = {argument: value for argument, value in call.inputs.items() if value is not None}
    given = {argument: w.parameter(argument, value.shape, _element(value)) for argument, value in inputs.items()}
    made = _OPERATORS[call.operator](w, call, given)
    results = [_cast(w, tensor, result) for tensor, result in zip(made, call.results.values(), strict=True)]
    parameters = [f"%{argument}: {value.tensor_type}" for argument, value in inputs.items()]
    parameters += [f"%{LAYER}: index"] if LAYER in call.static else []
    types = ", ".join(result.tensor_type for result in call.results.values())
    lines = "\n".join(w.lines)
    return (
        f"util.func private @{name}({', '.join(parameters)}) -> ({types}) {{\n{lines}\n"
        f"util.return {', '.join(results)} : {types}\n}}\n"
    )


def _element(value: Value) -> str:
    return value.tensor_type.removesuffix(">").rpartition("x")[2].removeprefix("tensor<")


def _cast(w: Writer, tensor: Tensor, wanted: Value) -> str:
    """Returns the name of a result as the type that the call declares, which may leave other sizes open."""
    if tensor.type == wanted.tensor_type:
        return tensor.name
    cast = f"tensor.cast {tensor.name} : {tensor.type} to {wanted.tensor_type}"
    return w.tensor(cast, tensor.sizes, tensor.element).name


def _weight(call: OperatorCall, given: Given) -> PackedWeight:
    return PackedWeight(LAYOUTS[call.word("layout")], given["weight"], call.integer("n"), call.integer("k"))


def _embedding(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return [embedding(w, given["tokens"], _weight(call, given))]


def _matmul(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return [matmul(w, given["x"], _weight(call, given), given.get("bias"), given.get("residual"))]


def _rms_norm(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return [rms_norm(w, given["x"], given["weight"], given.get("residual"), call.number("epsilon"))]


def _gated(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return [gated(w, given["gate"], given["up"], call.word("activation"))]


def _route(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return route(w, given["logits"], call.integer("top_k"), normalise=call.flag("normalise"))


def _expert_matmul(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    return [expert_matmul(w, given["x"], given["chosen"], _weight(call, given), call.integer("experts"))]


def _attend(w: Writer, call: OperatorCall, given: Given) -> Sequence[Tensor]:
    sizes = ("page_size", "layers", "kv_heads", "key_head_dim", "value_head_dim")
    cache = given["cache"]
    how = Attention(
        layout=CacheLayout(dtype=cast(CacheDtype, cache.element), **{size: call.integer(size) for size in sizes}),
        # The compiler must not learn the number: it would make the code of each layer anew.
        layer=w.scalar(f"util.optimization_barrier %{LAYER} : index", "index"),
        heads=call.integer("heads"),
        scale=call.number("scale"),
        window=call.integer("window"),
        softcap=call.number("softcap"),
    )
    q, k = given["q"], given["k"]
    if "q_norm" in given:
        q, k = (rms_norm(w, x, given[norm], None, call.number("epsilon")) for x, norm in ((q, "q_norm"), (k, "k_norm")))
    where = (given["page_ids"], given["start_positions"], given["seq_lens"])
    rows = CallRows(*where, each=1 if call.flag("step") else _ratio(w, q.sizes[0], given["start_positions"].sizes[0]))
    return attend(w, how, q, k, given["v"], given["angles"], rows, cache)


def _ratio(w: Writer, rows: Size, sequences: Size) -> Size:
    """Returns the number of rows of each sequence."""
    if isinstance(rows, int):
        rows = w.constant(rows, "index")
    return rows // sequences


_OPERATORS: Mapping[str, Callable[[Writer, OperatorCall, Given], Sequence[Tensor]]] = {
    "embedding": _embedding,
    "matmul": _matmul,
    "rms_norm": _rms_norm,
    "gated": _gated,
    "attend": _attend,
    "route": _route,
    "expert_matmul": _expert_matmul,
}
