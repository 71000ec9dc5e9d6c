"""Tensors from expressions: what becomes an operand, a load, a size."""

from sharkpack.templates.lowering.generic.tensors import Writer


def _written(w: Writer) -> str:
    return "\n".join(w.lines)


def test_an_expression_walks_along_tensors_or_loads_from_them() -> None:
    w = Writer()
    x, table = w.parameter("x", (4, 8), "f32"), w.parameter("table", (8,), "f32")
    made = w.map((4, 8), lambda row, k: x[row, k] + table[k] + table[k // 2])
    assert made.type == "tensor<4x8xf32>"
    text = _written(w)
    assert "ins(%x, %table : tensor<4x8xf32>, tensor<8xf32>)" in text
    maps = ("(d0, d1)", "(d1)", "(d0, d1)")
    assert f"indexing_maps = [{', '.join(f'affine_map<(d0, d1) -> {each}>' for each in maps)}]" in text
    assert text.count("tensor.extract %table[") == 1


def test_a_tensor_is_one_operand_however_often_it_is_taken() -> None:
    w = Writer()
    x = w.parameter("x", (4,), "f32")
    w.map((4,), lambda i: x[i] * x[i] + x[3])
    assert "ins(%x : tensor<4xf32>)" in _written(w)
    assert "arith.mulf %a1_0, %a1_0 : f32" in _written(w)
    assert "tensor.extract %x[" in _written(w)


def test_open_sizes_are_read_off_parameters() -> None:
    w = Writer()
    x = w.parameter("x", (None, 8), "f16")
    assert (x.type, x.width) == ("tensor<?x8xf16>", 8)
    made = w.map(x.sizes, lambda *at: x[at].float)
    text = _written(w)
    assert made.type == "tensor<?x8xf32>"
    assert text.count("tensor.dim %x") == 1
    assert f"tensor.empty({x.sizes[0].name}) : tensor<?x8xf32>" in text  # type: ignore[union-attr]


def test_a_sum_has_a_bound_for_its_last_loop() -> None:
    """The bound is needed where no operand walks along that loop."""
    w = Writer()
    x = w.parameter("x", (4, 16), "f32")
    assert w.sum((4,), 2, lambda row, i: x[row, i * 8]).sizes == (4,)
    text = _written(w)
    assert 'iterator_types = ["parallel", "reduction"]' in text
    assert "tensor.empty() : tensor<2xf32>" in text
    assert "arith.addf %a1_out" in text


def test_what_is_written_in_a_region_is_kept_apart() -> None:
    w = Writer()
    with w.region() as inner:
        w.constant(2, "index")
    w.constant(3, "index")
    assert inner == ["%v1 = arith.constant 2 : index"]
    assert w.lines == ["%v2 = arith.constant 3 : index"]
