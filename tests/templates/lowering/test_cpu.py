"""The lowering for CPUs, of functions made by hand: forms of activations, and matmuls that are joined."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from sharkpack.templates.kernels.isa import PORTABLE
from sharkpack.templates.lowering.cpu import Cpu
from sharkpack.templates.lowering.lowering import Activations
from sharkpack.templates.lowering.operators import OPERATORS
from sharkpack.templates.lowering.program import Function, OperatorCall, Value

DIM, WIDE = 64, 96


def f32(name: str, width: int = DIM) -> Value:
    return Value(name, (None, width), "f32")


def call(operator: str, results: str | Sequence[str], width: int = DIM, **arguments: Any) -> OperatorCall:
    """Tensors as Values (left out: None), static arguments by name; a result's first sizes are not of interest."""
    declared = OPERATORS[operator]
    names = [results] if isinstance(results, str) else results
    return OperatorCall(
        operator,
        {name: arguments.get(name) for name in declared.tensors},
        {out: f32(name, width) for out, name in zip(declared.results, names, strict=True)},
        {name: arguments[name] for name in declared.static},
    )


def norm(result: str, x: Value) -> OperatorCall:
    return call("rms_norm", result, x=x, weight=Value("%norm", (DIM,), "f32"), epsilon=1e-5)


def matmul(
    result: str, x: Value, n: int = DIM, rounding: str = "plain", layout: str = "q8_0", **more: Any
) -> OperatorCall:
    weight = Value(f"%weight_of_{result[1:]}", (n * DIM,), "si8")
    given = {"layout": layout, "n": n, "k": x.shape[-1], "rounding": rounding, **more}
    return call("matmul", result, n, x=x, weight=weight, **given)


def gate(result: str, gate: str, up: str) -> OperatorCall:
    return call("gated", result, WIDE, gate=f32(gate, WIDE), up=f32(up, WIDE), activation="silu")


def lowered(*calls: OperatorCall, uses: Sequence[str] = (), activations: Activations = "int8") -> list[str]:
    """The names of the kernels that are called, in order, without their sizes."""
    loads = {
        value.name: (f"    {value.name} = load",)
        for each in calls
        for name, value in each.inputs.items()
        if value is not None and name in ("weight", "bias")
    }
    function = Function("f", "", calls, frozenset(uses), loads)
    text = "\n".join(Cpu(isa=PORTABLE, activations=activations).lower(function).body)
    return [re.sub(r"_[ke]\d.*", "", name) for name in re.findall(r"util\.call @(\w+)", text)]


X, H = f32("%x"), f32("%h")
HEAD = "matmul_q8_0_int8_remainder_n64"


def test_a_norm_is_made_as_its_consumer_takes_it() -> None:
    assert lowered(norm("%h", X), matmul("%y", H), uses=["%y"]) == ["rms_norm_int8", "matmul_q8_0_int8_n64"]
    assert lowered(norm("%h", X), matmul("%y", H, rounding="fine"), uses=["%y"]) == ["rms_norm_int8_remainder", HEAD]
    for exact in (matmul("%y", H, rounding="exact"), matmul("%y", H, layout="f16")):
        assert lowered(norm("%h", X), exact, uses=["%y"])[0] == "rms_norm_float32"


def test_float32_activations_are_never_quantised() -> None:
    found = lowered(norm("%h", X), matmul("%y", H), matmul("%z", H, rounding="fine"), activations="float32")
    assert found == ["rms_norm_float32", "matmul_q8_0_float32_n64", "matmul_q8_0_float32_n64"]


def test_residual_bytes_serve_who_wants_none() -> None:
    found = lowered(norm("%h", X), matmul("%y", H), matmul("%z", H, rounding="fine"))
    assert found == ["rms_norm_int8_remainder", "matmul_q8_0_int8_n64", HEAD]


def test_a_second_form_is_made_where_it_is_first_taken() -> None:
    """A norm as a mixture's router and experts take theirs."""
    found = lowered(norm("%h", X), matmul("%y", H, rounding="exact"), matmul("%z", H))
    assert found == ["rms_norm_float32", "matmul_q8_0_float32_n64", "rms_norm_int8", "matmul_q8_0_int8_n64"]


def test_rows_that_no_kernel_quantises_are_quantised_once() -> None:
    """Inputs of the function, values that text makes, and a norm that adds a residual."""
    assert lowered(matmul("%y", X), matmul("%z", X)) == ["quantize", "matmul_q8_0_int8_n64", "matmul_q8_0_int8_n64"]
    assert lowered(matmul("%y", X), matmul("%z", X, rounding="fine"))[0] == "quantize_int16"
    added = call("rms_norm", "%h", x=X, weight=Value("%norm", (DIM,), "f32"), residual=f32("%r"), epsilon=1e-5)
    assert lowered(added, matmul("%y", H))[:2] == ["rms_norm_residual_float32", "quantize"]


def test_a_gate_and_its_matmuls_are_one_kernel() -> None:
    block = matmul("%g", H, WIDE), matmul("%u", H, WIDE), gate("%a", "%g", "%u")
    found = lowered(norm("%h", X), *block, matmul("%y", f32("%a", WIDE)))
    assert found == ["rms_norm_int8", "silu_matmul_q8_0_q8_0_n96", "matmul_q8_0_int8_n64"]


@pytest.mark.parametrize(
    ("gate_of", "up_of", "down", "uses"),
    [
        ({}, {"x": f32("%other")}, {}, ()),
        ({"bias": Value("%b", (WIDE,), "f32")}, {}, {}, ()),
        ({"residual": f32("%r", WIDE)}, {}, {}, ()),
        ({"rounding": "fine"}, {}, {}, ()),
        ({"layout": "f16"}, {}, {}, ()),
        ({}, {}, {}, ("%g",)),
        ({}, {}, {}, ("%a",)),
        ({}, {}, {"rounding": "fine"}, ()),
        ({}, {}, {"layout": "f16"}, ()),
    ],
)
def test_gates_that_no_kernel_makes(
    gate_of: dict[str, Any], up_of: dict[str, Any], down: dict[str, Any], uses: Sequence[str]
) -> None:
    """Other activations, extras, other precision, other uses of what would not be written."""
    usual: dict[str, Any] = {"x": H, "n": WIDE}
    calls = (
        matmul("%g", **(usual | gate_of)),
        matmul("%u", **(usual | up_of)),
        gate("%a", "%g", "%u"),
        matmul("%y", f32("%a", WIDE), **down),
    )
    found = lowered(norm("%h", X), *calls, uses=uses)
    assert "silu_matmul_q8_0_q8_0_n96" not in found
    assert [name for name in found if name.startswith("silu_gated")]


def _attend() -> OperatorCall:
    cache = Value("%cache", (None, 16 * 2 * DIM), "f16")
    given: dict[str, Any] = {
        **{name: f32(f"%{name}") for name in ("q", "k", "v", "angles")},
        **{"page_ids": Value("%p", (1, None), "si64"), "cache": cache},
        **{name: Value(f"%{name}", (1,), "si64") for name in ("start_positions", "seq_lens")},
        **{"layer": 0, "heads": 2, "scale": 0.2, "window": 0, "softcap": 0.0, "epsilon": 1e-5, "step": False},
        **{"page_size": 16, "layers": 1, "kv_heads": 2, "key_head_dim": 32, "value_head_dim": 32},
    }
    made, after = call("attend", ["%after", "%a"], **given), Value("%after", cache.shape, "f16")
    return OperatorCall("attend", made.inputs, {**made.results, "cache": after}, made.static)


def _projections(**of_k: Any) -> list[OperatorCall]:
    return [matmul("%q", H), matmul("%k", **({"x": H} | of_k)), matmul("%v", H, rounding="fine")]


def test_projections_of_attention_are_one_kernel() -> None:
    found = lowered(norm("%h", X), *_projections(), _attend(), matmul("%y", f32("%a")), uses=["%after"])
    joint = "matmul_q8_0_int8_n64_q8_0_int8_n64_q8_0_int8_remainder_n64"
    assert found[:2] == ["rms_norm_int8_remainder", joint]
    assert [name.split("_q")[0] for name in found[2:]] == ["rope_and_store", "attention", "matmul"]
    assert "_int8_" in found[3]


@pytest.mark.parametrize("of_k", [{"x": X}, {"layout": "f16"}, {"residual": f32("%r")}, {"rounding": "exact"}])
def test_projections_of_several_kernels(of_k: dict[str, Any]) -> None:
    found = lowered(norm("%h", X), *_projections(**of_k), _attend(), matmul("%y", f32("%a")), uses=["%after"])
    assert len([name for name in found if name.startswith("matmul")]) == 4


def test_norms_of_whole_rows_do_not_part_projections() -> None:
    calls = [matmul("%q0", H), matmul("%k0", H), matmul("%v", H), norm("%q", f32("%q0")), norm("%k", f32("%k0"))]
    found = lowered(norm("%h", X), *calls, _attend(), matmul("%y", f32("%a")), uses=["%after"])
    assert [name.count("_n64") for name in found if name.startswith("matmul")] == [3, 1]


def test_another_precision_is_another_lowering() -> None:
    int8 = Cpu(isa=PORTABLE)
    assert int8.activations == "int8"
    assert int8.with_activations("float32") == Cpu(isa=PORTABLE, activations="float32")
