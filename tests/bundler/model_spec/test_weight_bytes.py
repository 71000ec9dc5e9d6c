"""Parameters: each is the source's tensor in the program's layout, written in plan order, let go of once written."""

import io
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from sharkpack.bundler.model_spec.from_model import spec_of_model
from sharkpack.bundler.model_spec.weight_bytes import convert, write_parameters
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor, StoredTensor
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.irpa import plan_irpa, read_irpa_index
from sharkpack.formats.packing import LAYOUTS, unpack
from sharkpack.formats.quant import dequantize
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.rope import neighbours_to_halves
from sharkpack.templates.layers.weights import PackedWeight, TableWeight, VectorWeight
from tests.made_tensors import MadeTensor
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f32")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceModel]:
    """Types mixed as the real files have them."""
    path = tmp_path_factory.mktemp("weights") / "tiny.gguf"
    types = {"blk.0.attn_v.weight": "Q5_0", "blk.1.ffn_down.weight": "F16"}
    write_tiny_gguf(path, dim=128, head_dim=32, types=types)
    with open_source(str(path)) as opened:
        yield opened


def _values(source: SourceModel, name: str) -> np.ndarray:
    tensor = source.tensor(name)
    return dequantize(tensor.type_name, tensor.read(), tensor.shape)


@pytest.mark.parametrize("name", ["blk.0.attn_v.weight", "blk.0.ffn_up.weight", "blk.1.ffn_down.weight"])
def test_a_matrix_keeps_its_type_and_values(source: SourceModel, name: str) -> None:
    tensor = source.tensor(name)
    layout, (n, k) = tensor.type_name.lower(), tensor.shape
    weight = PackedWeight(name=name, layout=layout, shape=(n, k))
    made = convert(weight, source)
    assert made.dtype == np.uint8
    assert made.nbytes == weight.nbytes
    assert np.array_equal(unpack(LAYOUTS[layout], made, (n, k)), _values(source, name))


@pytest.mark.parametrize("name", ["output_norm.weight", "blk.1.ffn_down.weight", "blk.0.attn_q.weight"])
def test_a_weight_that_is_no_number_is_named(tmp_path: Path, name: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", dim=128, head_dim=32, types={"blk.1.ffn_down.weight": "F16"})
    with open_source(str(path)) as source:
        tensor = source.tensor(name)
        weight = (
            VectorWeight(name=name, size=tensor.shape[0])
            if len(tensor.shape) == 1
            else PackedWeight(name=name, layout=tensor.type_name.lower(), shape=(tensor.shape[0], tensor.shape[1]))
        )
        convert(weight, source)
    data = bytearray(path.read_bytes())
    with GGUFFile.open(path) as file:
        place = file.tensors[name]
    data[place.offset : place.offset + 4] = (
        np.float32(np.nan).tobytes() if place.type_name == "F32" else b"\x00\x7c" * 2
    )
    path.write_bytes(data)
    with (
        open_source(str(path)) as source,
        pytest.raises(SharkpackError, match=f"tensor '{name}' holds a NaN or an inf"),
    ):
        convert(weight, source)


def test_rows_of_a_matrix_and_of_a_vector_are_reordered(source: SourceModel) -> None:
    order = neighbours_to_halves(2, 32, 32)
    name = "blk.0.attn_k.weight"
    made = convert(PackedWeight(name=name, layout="q8_0", shape=(64, 128), row_order=order), source)
    assert np.array_equal(unpack(LAYOUTS["q8_0"], made, (64, 128)), _values(source, name)[order])
    backwards = np.arange(128)[::-1].copy()
    made = convert(VectorWeight(name="blk.0.attn_norm.weight", size=128, row_order=backwards), source)
    assert np.array_equal(made.view(np.float32), _values(source, "blk.0.attn_norm.weight")[::-1])


def test_a_vector_becomes_float32(tmp_path: Path) -> None:
    name = "blk.0.attn_q.bias"
    path = write_tiny_gguf(tmp_path / "tiny.gguf", "qwen2", dim=128, head_dim=32, types={name: "F16"})
    with open_source(str(path)) as source:
        assert source.tensor(name).type_name == "F16"
        made = convert(VectorWeight(name=name, size=128), source)
        assert np.array_equal(made.view(np.float32), _values(source, name))


def test_a_table_is_its_values(source: SourceModel) -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2]  # not contiguous
    assert convert(TableWeight(name="t", values=values), source).view(np.float32).tolist() == [0, 2, 4, 6, 8, 10]


def test_a_tensor_that_can_be_read_by_rows_is_not_read_whole(source: SourceModel) -> None:
    shape = (9000, 128)  # of several slabs
    values = np.random.default_rng(0).normal(size=shape).astype(np.float16)
    asked: list[int] = []

    class Counted(MadeTensor):
        def read(self) -> np.ndarray:
            raise AssertionError("read whole")

        def release(self) -> None:
            raise AssertionError("not asked for here")

        def rows(self, index: slice | np.ndarray) -> np.ndarray:
            rows = super().rows(index)
            asked.append(len(rows))
            return rows

    tensor = Counted("w", "F16", values)
    order = np.random.default_rng(1).permutation(9000)
    for row_order in (None, order):
        weight = PackedWeight(name="w", layout="f16", shape=shape, row_order=row_order)
        made = convert(weight, replace(source, tensors={"w": tensor}))
        expected = values if row_order is None else values[row_order]
        assert np.array_equal(unpack(LAYOUTS["f16"], made, shape), expected)
    assert len(asked) > 4
    assert max(asked) <= 4096


class Counter:
    def __init__(self) -> None:
        self.bytes: list[int] = []

    def advance(self, n: int) -> None:
        self.bytes.append(n)


def test_the_parameter_file(source: SourceModel, tmp_path: Path) -> None:
    """Each entry's bytes lie where the plan and the file's own index say; a tensor is released before the next."""
    held: list[str] = []
    most_held: list[int] = []

    class Watched(StoredTensor):
        def read(self) -> np.ndarray:
            held.append(self.name)
            most_held.append(len(held))
            return super().read()

        def release(self) -> None:
            held.remove(self.name)

    def watched(tensor: SourceTensor) -> Watched:
        assert isinstance(tensor, StoredTensor)
        return Watched(**{each.name: getattr(tensor, each.name) for each in fields(tensor)})

    watching = replace(source, tensors={name: watched(tensor) for name, tensor in source.tensors.items()})
    model, out, done = RECIPES["llama"].build(source, OPTIONS), io.BytesIO(), Counter()
    plan = plan_irpa([(weight.name, weight.nbytes) for weight in model.weights.values()])
    write_parameters(plan, out, spec_of_model(model), watching, done)
    assert (held, max(most_held)) == ([], 1)
    assert done.bytes == [weight.nbytes for weight in model.weights.values()]
    file = out.getvalue()
    assert len(file) == plan.total_size
    index = read_irpa_index(memoryview(file))
    assert list(index) == list(model.weights)
    for name, (offset, size) in index.items():
        assert file[offset : offset + size] == convert(model.weights[name], source).tobytes()
