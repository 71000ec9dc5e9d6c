"""Writes each neutral operator as calls of CPU kernels: one function an operator."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from sharkpack.templates.kernels.embedding import embedding
from sharkpack.templates.kernels.expert_matmul import expert_matmul
from sharkpack.templates.kernels.gated_matmul import gated_matmul
from sharkpack.templates.kernels.matmul import JoinedMatmul, joint_matmul, matmul
from sharkpack.templates.kernels.routing import route
from sharkpack.templates.kernels.rows import gated, rms_norm
from sharkpack.templates.lowering.cpu.attention import write_attend
from sharkpack.templates.lowering.cpu.forms import Form
from sharkpack.templates.lowering.cpu.writer import Writer
from sharkpack.templates.lowering.program import OperatorCall
from sharkpack.templates.lowering.text import Tensor


def write_embedding(w: Writer, call: OperatorCall) -> None:
    kernel, y = embedding(call.integer("n"), call.integer("k"), call.word("layout")), call.results["y"]
    w.give(y, w.call(kernel, {**call.inputs, "tokens": w.float32(call.input("tokens"))}, y.shape[0]), "float32")


def write_matmul(w: Writer, call: OperatorCall) -> None:
    if call in w.joins.projections:
        _write_projections(w, w.joins.projections[call])
        return
    y, form = call.results["y"], w.uses.form(call)
    given: dict[str, Tensor | None] = dict(call.inputs)
    if call.has("residual"):
        given["residual"] = w.float32(call.input("residual"))
    n, k, layout = call.integer("n"), call.integer("k"), call.word("layout")
    kernel = matmul(n, k, layout, form, bias=call.has("bias"), residual=call.has("residual"))
    w.give(y, w.call(kernel, given | dict(w.take(call.input("x"), form)), y.shape[0]), "float32")


def _write_projections(w: Writer, calls: tuple[OperatorCall, ...]) -> None:
    """Attention's q, k and v in one kernel. All weights are loaded before all biases, as parameters are declared."""
    for name in ("weight", "bias"):
        for call in calls:
            if call.has(name):
                w.lines.load(call.input(name).name)
    forms = [w.uses.form(call) for call in calls]
    finest: Form = "int8_remainder" if "int8_remainder" in forms else "int8"
    given: dict[str, Tensor | None] = dict(w.take(calls[0].input("x"), finest))
    parts = []
    for suffix, call, form in zip(("_q", "_k", "_v"), calls, forms, strict=True):
        n, k, layout = call.integer("n"), call.integer("k"), call.word("layout")
        parts.append(JoinedMatmul(n=n, k=k, layout=layout, activations=form, bias=call.has("bias"), suffix=suffix))
        given |= {f"weight{suffix}": call.inputs["weight"], f"bias{suffix}": call.inputs["bias"]}
    found = w.call(joint_matmul(tuple(parts)), given, calls[0].results["y"].shape[0])
    for part, call in zip(parts, calls, strict=True):
        w.give(call.results["y"], {"x": found[f"y{part.suffix}"]}, "float32")


def write_rms_norm(w: Writer, call: OperatorCall) -> None:
    """Quantised as it is made, but for a norm of several heads and one that adds a residual."""
    y, size, epsilon = call.results["y"], call.width("weight"), call.number("epsilon")
    heads, residual = call.width("x") // size, call.has("residual")
    given: dict[str, Tensor | None] = {**call.inputs, "x": w.float32(call.input("x"))}
    if residual:
        given["residual"] = w.float32(call.input("residual"))

    def make(form: Form) -> None:
        kernel = rms_norm(size, epsilon, output=form, residual=residual, heads=heads)
        w.give(y, w.call(kernel, given, y.shape[0]), form)

    forms: Sequence[Form] = ["float32"] if residual or heads > 1 else w.uses.wanted(y)
    first, *others = forms
    make(first)
    for form in others:
        w.give_when_taken(y, form, functools.partial(make, form))


def write_gated(w: Writer, call: OperatorCall) -> None:
    y, activation = call.results["y"], call.word("activation")
    if call in w.joins.gates:
        gate, up = w.joins.gates[call]
        x = w.take(gate.input("x"), "int8")
        given = {"gate": gate.input("weight"), "up": up.input("weight"), "x_codes": x["codes"], "x_scales": x["scales"]}
        n, k = gate.integer("n"), gate.integer("k")
        kernel = gated_matmul(n, k, gate.word("layout"), up.word("layout"), activation)
        w.give(y, w.call(kernel, given, y.shape[0]), "int8")
        return
    both = {name: w.float32(call.input(name)) for name in ("gate", "up")}
    # No kernel makes residual bytes of a gate: who wants them quantises what it takes.
    forms: list[Form] = ["float32" if form == "int8_remainder" else form for form in w.uses.wanted(y)]
    for form in dict.fromkeys(forms):
        w.give(y, w.call(gated(call.width("gate"), activation, output=form), both, y.shape[0]), form)


def write_route(w: Writer, call: OperatorCall) -> None:
    kernel = route(call.width("logits"), call.integer("top_k"), normalise=call.flag("normalise"))
    found = w.call(kernel, {"logits": w.float32(call.input("logits"))}, call.results["chosen"].shape[0])
    for name, value in call.results.items():
        w.give(value, {name: found[name]}, "float32")


def write_expert_matmul(w: Writer, call: OperatorCall) -> None:
    y, form = call.results["y"], w.uses.form(call)
    n, k, layout, experts = call.integer("n"), call.integer("k"), call.word("layout"), call.integer("experts")
    each = call.width("x") != k
    activations: Literal["float32", "int8"] = "float32" if form == "float32" else "int8"
    kernel = expert_matmul(experts, call.width("chosen"), n, k, layout, activations, each_choice=each)
    given: dict[str, Tensor | None] = {**call.inputs, **w.take(call.input("x"), form)}
    given["chosen"] = w.float32(call.input("chosen"))
    w.give(y, w.call(kernel, given, y.shape[0]), "float32")


WRITERS: Mapping[str, Callable[[Writer, OperatorCall], None]] = {
    "embedding": write_embedding,
    "matmul": write_matmul,
    "rms_norm": write_rms_norm,
    "gated": write_gated,
    "attend": write_attend,
    "route": write_route,
    "expert_matmul": write_expert_matmul,
}
