"""The portable lowering of functions: which functions there are, how they are called, what is refused."""

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.lowering.generic import Generic
from sharkpack.templates.lowering.program import Function, OperatorCall, Value


def _norm(result: str, width: int = 64) -> OperatorCall:
    x, weight = Value("%x", (None, width), "f32"), Value("%w", (width,), "f32")
    inputs = {"x": x, "weight": weight, "residual": None}
    return OperatorCall("rms_norm", inputs, {"y": Value(result, (None, width), "f32")}, {"epsilon": 1e-5})


def _attend(layer: int) -> OperatorCall:
    where = {name: Value(f"%{name}", (2,), "si64") for name in ("start_positions", "seq_lens")}
    rows = {name: Value(f"%{name}", (2, 32), "f32") for name in ("q", "k", "v", "angles")}
    cache = Value("%cache", (None, 1024 * 3), "f16")
    inputs = {**rows, "q_norm": None, "k_norm": None, "page_ids": Value("%pages", (2, None), "si64"), **where}
    static = {
        **{"layer": layer, "heads": 1, "scale": 0.2, "window": 0, "softcap": 0.0, "epsilon": 1e-5, "step": True},
        **{"page_size": 16, "layers": 3, "kv_heads": 1, "key_head_dim": 32, "value_head_dim": 32},
    }
    results = {"cache": Value(f"%after{layer}", cache.shape, "f16"), "y": Value(f"%y{layer}", (2, 32), "f32")}
    return OperatorCall("attend", {**inputs, "cache": cache}, results, static)


def _lowered(*body: str | OperatorCall) -> tuple[str, set[str]]:
    loads = {"%w": ("    %w = load",)}
    found = Generic().lower(Function("f", "", body, frozenset(), loads))
    return "\n".join(found.body), set(found.definitions)


def test_equal_calls_are_of_one_function() -> None:
    text, names = _lowered(_norm("%a"), _norm("%b"), _norm("%c", 128))
    assert len(names) == 2
    assert text.count("util.call @generic_rms_norm_") == 3
    assert _lowered(_norm("%other"))[1] < names


def test_layers_are_of_one_function() -> None:
    text, names = _lowered(_attend(0), _attend(2))
    assert len(names) == 1
    assert "arith.constant 2 : index" in text
    assert text.count(", index) -> (tensor<?x3072xf16>, tensor<2x32xf32>)") == 2


def test_weights_are_loaded_where_they_are_first_used() -> None:
    text, _ = _lowered("    %x = text", _norm("%a"), _norm("%b"), "    return %b")
    lines = text.splitlines()
    assert lines[0] == "    %x = text"
    assert lines.count("    %w = load") == 1
    assert lines[-1] == "    return %b"


def test_its_activations_are_float32() -> None:
    assert Generic().activations == "float32"
    assert Generic().with_activations("float32") == Generic()
    with pytest.raises(SharkpackError) as caught:
        Generic().with_activations("int8")
    assert str(caught.value) == "the generic lowering has no int8 activations, only float32: leave --activations out"
