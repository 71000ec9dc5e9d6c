"""A traced program's text read as data: calls, constants, weights and what text uses."""

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.lowering.parse import has_calls, parse
from sharkpack.templates.lowering.program import OperatorCall, Value

TEXT = """\
#map = affine_map<(d0) -> (d0)>
module @module {
  util.global private @w = #flow.parameter.named<"model"::"w"> : tensor<64xi8>
  func.func @head(%arg0: !torch.vtensor<[?,4],f32>) -> !torch.vtensor<[?,2],f32> attributes {torch.assume_strict} {
    %w = util.global.load @w : tensor<64xi8>
    %0 = torch_c.from_builtin_tensor %w : tensor<64xi8> -> !torch.vtensor<[64],si8>
    %none = torch.constant.none
    %none_0 = torch.constant.none
    %str = torch.constant.str "f32"
    %int4 = torch.constant.int 4
    %int16 = torch.constant.int 16
    %str_1 = torch.constant.str "exact"
    %1 = torch.operator "torch.sharkpack.matmul"(%arg0, %0, %none, %none_0, %str, %int4, %int16, %str_1) : \
(!torch.vtensor<[?,4],f32>, !torch.vtensor<[64],si8>, !torch.none, !torch.none, !torch.str, !torch.int, !torch.int, \
!torch.str) -> !torch.vtensor<[?,4],f32>\x20
    %int2 = torch.constant.int 2
    %true = torch.constant.bool true
    %2:2 = torch.operator "torch.sharkpack.route"(%1, %int2, %true) : (!torch.vtensor<[?,4],f32>, !torch.int, \
!torch.bool) -> (!torch.vtensor<[?,2],si64>, !torch.vtensor<[?,2],f32>)\x20
    %3 = torch.aten.neg %2#1 : !torch.vtensor<[?,2],f32> -> !torch.vtensor<[?,2],f32>
    return %3 : !torch.vtensor<[?,2],f32>
  }
}
"""


def test_calls_are_read_by_the_names_of_their_declaration() -> None:
    program = parse(TEXT)
    (head,) = program.functions
    matmul, route = head.calls
    x, made = Value("%arg0", (None, 4), "f32"), Value("%1", (None, 4), "f32")
    assert matmul.operator == "matmul"
    assert matmul.inputs == {"x": x, "weight": Value("%0", (64,), "si8"), "bias": None, "residual": None}
    assert matmul.results == {"y": made}
    assert matmul.static == {"layout": "f32", "n": 4, "k": 16, "rounding": "exact"}
    assert (matmul.integer("n"), matmul.word("rounding"), matmul.has("bias")) == (4, "exact", False)
    assert route.inputs == {"logits": made}
    assert (route.width("logits"), route.integer("top_k"), route.flag("normalise")) == (4, 2, True)


def test_one_of_several_results_has_a_name_of_its_own() -> None:
    """In the call, and in the text that takes it."""
    (head,) = parse(TEXT).functions
    found = head.calls[1].results
    assert found == {"chosen": Value("%m2_0", (None, 2), "si64"), "weights": Value("%m2_1", (None, 2), "f32")}
    assert "    %3 = torch.aten.neg %m2_1 : !torch.vtensor<[?,2],f32> -> !torch.vtensor<[?,2],f32>" in head.body
    assert head.torch_uses == {"%m2_1"}


def test_weights_are_loaded_where_a_lowering_says() -> None:
    (head,) = parse(TEXT).functions
    ((value, lines),) = head.loads.items()
    assert value == "%0"
    assert [line.split()[2] for line in lines] == ["util.global.load", "torch_c.from_builtin_tensor"]
    assert not [line for line in head.body if isinstance(line, str) and "global.load" in line]


def test_the_text_around_functions_is_kept() -> None:
    program = parse(TEXT)
    assert program.opening == TEXT.partition("\n  func.func")[0]
    assert program.closing == "}"
    assert [(function.name, function.header.split()[-1]) for function in program.functions] == [("head", "{")]


@pytest.mark.parametrize(
    ("value", "torch", "builtin"),
    [
        (Value("%a", (None, 18, 8), "f32"), "!torch.vtensor<[?,18,8],f32>", "tensor<?x18x8xf32>"),
        (Value("%a", (3,), "si64"), "!torch.vtensor<[3],si64>", "tensor<3xi64>"),
        (Value("%a", (), "f16"), "!torch.vtensor<[],f16>", "tensor<f16>"),
    ],
)
def test_types(value: Value, torch: str, builtin: str) -> None:
    assert (value.torch_type, value.tensor_type) == (torch, builtin)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "sharkpack.matmul",
            "sharkpack.convolve",
            "the program calls operator 'convolve'; known: embedding, matmul, rms_norm, gated, attend, route, "
            "expert_matmul",
        ),
        (
            "(%1, %int2, %true) : (!torch.vtensor<[?,4],f32>, !torch.int, !torch.bool)",
            "(%1, %int2) : (!torch.vtensor<[?,4],f32>, !torch.int)",
            "a call of operator 'route' has 2 arguments and 2 results; version 1 of it has 3 and 2",
        ),
        (
            "torch.constant.bool true",
            "torch.constant.int 1",
            "argument 'normalise' of operator 'route' is not a constant bool",
        ),
        (
            "(%1, %int2, %true) : (!torch.vtensor<[?,4],f32>",
            "(%1, %int2, %true) : (!torch.vtensor<*,f32>",
            "the program gives an operator %1 of type !torch.vtensor<*,f32>; it takes tensors of known rank",
        ),
    ],
)
def test_calls_that_no_declaration_allows(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(SharkpackError) as caught:
        parse(TEXT.replace(old, new))
    assert str(caught.value) == message


def test_a_program_without_calls() -> None:
    assert has_calls(TEXT)
    assert not has_calls(TEXT.replace("torch.sharkpack", "torch.other"))


def test_calls_differ_though_they_say_the_same() -> None:
    """Lowerings keep sets of them."""
    (first, _), (second, _) = (parse(TEXT).functions[0].calls for _ in range(2))
    assert isinstance(first, OperatorCall)
    assert first != second
