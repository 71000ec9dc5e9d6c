"""The refusals of a recipe, to the word: each message names the tensor or key and what was expected."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.architectures.names import ARCHITECTURES
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel, WeightTable, last_rows, require_multiple
from sharkpack.templates.layers.weights import PackedWeight, TableWeight, VectorWeight
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f32")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SourceModel]:
    path = write_tiny_gguf(tmp_path_factory.mktemp("recipe") / "tiny.gguf", dim=128, head_dim=32)
    with open_source(str(path)) as opened:
        yield opened


def _build(path: Path, architecture: str = "llama", quantization: str = "Q8_0", **overrides: Any) -> CausalModel:
    overrides = {"dim": 128, "head_dim": 32, "layers": 1} | overrides
    with open_source(str(write_tiny_gguf(path / "tiny.gguf", architecture, quantization, **overrides))) as source:
        return RECIPES[architecture].build(source, OPTIONS)


def _refusal(path: Path, architecture: str = "llama", **overrides: Any) -> str:
    with pytest.raises(SharkpackError) as error:
        _build(path, architecture, **overrides)
    return str(error.value)


def test_the_names_of_architectures_are_those_of_the_recipes() -> None:
    assert tuple(RECIPES) == ARCHITECTURES


def test_weights_are_declared_with_what_they_are_made_of(source: SourceModel) -> None:
    table = WeightTable(source)
    order = np.arange(64)[::-1].copy()
    packed, layout = table.packed("blk.0.attn_k.weight", 64, 128, order)
    vector = table.vector("output_norm.weight", 128)
    computed = table.table("rope.all.fine", np.ones((2, 3), np.float32))
    assert (layout, packed.shape, vector.shape, computed.shape) == ("q8_0", (4 * 2 * 1088,), (128,), (2, 3))
    assert list(table.weights) == ["blk.0.attn_k.weight", "output_norm.weight", "rope.all.fine"]
    matrix, norm, rope = table.weights.values()
    assert isinstance(matrix, PackedWeight)
    assert isinstance(norm, VectorWeight)
    assert isinstance(rope, TableWeight)
    assert (matrix.shape, matrix.row_order is order) == ((64, 128), True)
    assert [weight.nbytes for weight in table.weights.values()] == [8704, 512, 24]


def test_a_tensor_that_is_missing(source: SourceModel) -> None:
    with pytest.raises(SharkpackError) as error:
        WeightTable(source).packed("blk.9.attn_q.weight", 64, 64)
    assert str(error.value) == "tensor 'blk.9.attn_q.weight' is missing; a llama model has it"


def test_a_tensor_of_another_shape(source: SourceModel) -> None:
    with pytest.raises(SharkpackError) as error:
        WeightTable(source).packed("blk.0.attn_k.weight", 64, 32)
    message = "tensor 'blk.0.attn_k.weight' has shape [64, 128]; the hyperparameters call for [64, 32]"
    assert str(error.value) == message
    with pytest.raises(SharkpackError, match=r"'output_norm.weight' has shape \[128\]; .* call for \[65\]"):
        WeightTable(source).vector("output_norm.weight", 65)


def test_a_type_that_nothing_packs(tmp_path: Path) -> None:
    message = _refusal(tmp_path, types={"blk.0.attn_q.weight": "Q8_K"}, dim=256, ffn=256, head_dim=64)
    supported = (
        "BF16, F16, F32, IQ1_M, IQ1_S, IQ2_S, IQ2_XS, IQ2_XXS, IQ3_S, IQ3_XXS, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, "
        "Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0, TQ1_0, TQ2_0"
    )
    assert message == f"tensor 'blk.0.attn_q.weight' has type Q8_K; supported types: {supported}"


def test_tensors_that_nothing_uses(source: SourceModel) -> None:
    table = WeightTable(source)
    names = sorted(source.tensors)
    for name in names[2:]:
        table.weights[name] = VectorWeight(name=name, size=1)
    end = "; this model differs from the architecture it declares"
    with pytest.raises(SharkpackError) as error:
        table.refuse_rest()
    assert str(error.value) == f"the llama recipe has no use for tensor {names[0]}, {names[1]}{end}"
    table.refuse_rest(frozenset(names[:2]))
    table.weights.clear()
    with pytest.raises(SharkpackError, match=f"{names[2]} and {len(names) - 3} more{end}$"):
        table.refuse_rest()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_hyperparameter_that_no_recipe_reads(tmp_path: Path, architecture: str) -> None:
    key = f"{architecture}.attention.surprise"
    message = _refusal(tmp_path, architecture, metadata={key: 7})
    assert message == f"hyperparameter '{key}' = 7 is not known to the {architecture} recipe"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hyperparameters_that_change_nothing(tmp_path: Path, architecture: str) -> None:
    neutral = {
        "tensor_data_layout": "Meta AI original pth",
        "rope.scale_linear": 1.0,
        "rope.scaling.finetuned": False,
        "attention.causal": True,
        "attention.clamp_kqv": 0.0,
        "nextn_predict_layers": 0,
        "pooling_type": 0,
    }
    metadata = {f"{architecture}.{key}": value for key, value in neutral.items()}
    _build(tmp_path, architecture, metadata=metadata)


@pytest.mark.parametrize(
    ("key", "value"),
    [("rope.scale_linear", 2.0), ("attention.causal", False), ("attention.max_alibi_bias", 8.0), ("logit_scale", True)],
)
def test_hyperparameters_that_change_the_maths(tmp_path: Path, key: str, value: float) -> None:
    message = _refusal(tmp_path, "llama", metadata={f"llama.{key}": value})
    assert message == f"hyperparameter 'llama.{key}' = {value!r} is not known to the llama recipe"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_layer_more_than_declared(tmp_path: Path, architecture: str) -> None:
    message = _refusal(tmp_path, architecture, layers=2, metadata={f"{architecture}.block_count": 1})
    assert message.startswith(f"the {architecture} recipe has no use for tensor blk.1.")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_layer_less_than_declared(tmp_path: Path, architecture: str) -> None:
    message = _refusal(tmp_path, architecture, metadata={f"{architecture}.block_count": 2})
    first = "attn_qkv" if architecture == "phi3" else "attn_q"
    assert message == f"tensor 'blk.1.{first}.weight' is missing; a {architecture} model has it"


def test_sizes_that_no_vector_divides(tmp_path: Path) -> None:
    require_multiple("the head size", 48, 16)
    message = _refusal(tmp_path, dim=128, heads=16, head_dim=8)
    assert message == "the head size is 8; the kernels need a multiple of 16"


def test_rope_scaling_that_is_not_known(tmp_path: Path) -> None:
    message = _refusal(tmp_path, metadata={"llama.rope.scaling.type": "longrope"})
    assert message == "rope scaling 'longrope' is not supported; supported: none, linear, yarn, rope_freqs tensor"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_tensor_becomes_a_parameter(tmp_path: Path, architecture: str) -> None:
    """And every parameter is a buffer of the module under its own name."""
    model = _build(tmp_path, architecture, tied=False)
    with open_source(str(tmp_path / "tiny.gguf")) as source:
        used = {weight.tensor for weight in model.weights.values() if not isinstance(weight, TableWeight)}
        assert used == set(source.tensors)
    buffers = dict(model.named_buffers())
    assert set(buffers) == set(model.weights)
    assert {name: buffer.nbytes for name, buffer in buffers.items()} == {
        name: weight.nbytes for name, weight in model.weights.items()
    }


def test_llama_takes_rope_factors_as_they_are(tmp_path: Path) -> None:
    model = _build(tmp_path, rope_factors=True)
    assert "rope_freqs.weight" not in model.weights
    plain = _build(tmp_path, rope_factors=False)
    assert not np.allclose(_table(model), _table(plain))


def _table(model: CausalModel) -> np.ndarray:
    weight = model.weights["rope.all.fine"]
    assert isinstance(weight, TableWeight)
    return weight.values


def test_the_last_rows_of_a_prefill_and_of_a_step() -> None:
    """The row of each sequence's last token, of two padded to four; all rows of a step, which are those."""
    x, starts = torch.arange(8.0)[:, None], torch.tensor([10, 0])
    tokens = torch.zeros(2, 4, dtype=torch.int64)
    assert last_rows(x, tokens, starts, torch.tensor([12, 4])).flatten().tolist() == [1, 7]
    assert torch.equal(last_rows(x[:2], tokens[:, :1], starts, starts + 1), x[:2])
