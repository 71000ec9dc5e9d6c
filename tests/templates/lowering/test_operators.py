"""Declared operators: the schemas that torch has of them."""

from sharkpack.templates.lowering.operators import ATTEND, MATMUL, OPERATORS, ROUTE


def test_schemas() -> None:
    assert MATMUL.schema == (
        "(Tensor x, Tensor weight, Tensor? bias, Tensor? residual, str layout, int n, int k, str rounding) -> Tensor"
    )
    assert ROUTE.schema == "(Tensor logits, int top_k, bool normalise) -> (Tensor, Tensor)"
    assert ATTEND.schema.endswith("float softcap, float epsilon, bool step) -> (Tensor, Tensor)")


def test_declarations_name_what_they_have() -> None:
    for name, operator in OPERATORS.items():
        assert name == operator.name
        assert operator.optional <= set(operator.tensors)
        for result in operator.results.values():
            assert result.of in operator.tensors
            assert set(result.width) <= set(operator.arguments)
