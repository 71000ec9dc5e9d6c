"""The plan: what it decides where the user did not, and one sentence for each thing that cannot be built."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.options import BuildOptions
from sharkpack.bundler.pipeline.plan import BuildPlan, make_plan
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.architectures.recipes import RECIPES
from tests.tiny_models import write_tiny_gguf

TARGET = ("x86-64-v2",)  # named, so that nothing depends on this machine


@pytest.fixture
def source(tmp_path: Path) -> Iterator[SourceModel]:
    path = write_tiny_gguf(tmp_path / "model.gguf", dim=128, head_dim=32, context=512)
    with open_source(str(path)) as opened:
        yield opened


def _plan(source: SourceModel, **options: Any) -> BuildPlan:
    return make_plan(source, BuildOptions(**({"source": str(source.path), "targets": TARGET} | options)))


def _refusal(source: SourceModel, **options: Any) -> str:
    before = sorted(source.path.parent.rglob("*"))
    with pytest.raises(SharkpackError) as error:
        _plan(source, **options)
    assert sorted(source.path.parent.rglob("*")) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_defaults(source: SourceModel) -> None:
    plan = _plan(source)
    assert plan.batch_sizes == (1, 4)
    assert [target.id for target in plan.targets] == ["x86-64-v2"]
    assert (plan.options.context_length, plan.options.page_size) == (512, 32)
    assert (plan.options.cache_dtype, plan.targets[0].lowering.activations) == ("f16", "int8")
    assert plan.parameters.total_size > sum(weight.nbytes for weight in plan.model.weights.values())


def test_context_is_2048_of_a_model_trained_on_more(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", dim=128, head_dim=32, context=4096)
    with open_source(str(path)) as source:
        assert _plan(source).options.context_length == 2048
        assert _plan(source, context=4096).options.context_length == 4096


def test_the_signature_says_what_was_decided(source: SourceModel) -> None:
    plan = _plan(source, batch_sizes=(4, 1, 4), context=100, page_size=16, cache_dtype="f32", activations="float32")
    signature = generate_signature(plan.signature)
    assert signature.batch_sizes == (1, 4)
    assert (signature.context_length, signature.page_size, signature.max_pages_per_sequence) == (100, 16, 7)
    assert (plan.targets[0].lowering.activations, signature.cache.dtype) == ("float32", "f32")
    assert signature.vocab_size == source.tensor("token_embd.weight").shape[0]
    cache = signature.cache
    planes = [(plane.name, plane.heads, plane.dim, plane.order) for plane in cache.entries[0].planes]
    assert (cache.entries[0].count, planes) == (2, [("key", 2, 32, "dim"), ("value", 2, 32, "position")])
    assert (cache.page_elements, cache.page_bytes) == (2 * 2 * 2 * 16 * 32, 4 * 2 * 2 * 2 * 16 * 32)


def test_a_page_of_an_8_bit_cache_has_room_for_its_scales(source: SourceModel) -> None:
    cache = generate_signature(_plan(source, page_size=16, cache_dtype="i8").signature).cache
    assert [plane.scale_block for plane in cache.entries[0].planes] == [32, 32]
    assert cache.page_bytes == cache.page_elements == 2 * 2 * 16 * (32 + 4 + 32 + 4)


def test_unsupported_architecture(source: SourceModel) -> None:
    message = _refusal(replace(source, architecture="mamba"))
    assert message == f"{source.path}: architecture 'mamba' is not supported; supported: {', '.join(RECIPES)}"


def test_unsupported_type(tmp_path: Path) -> None:
    types = {"blk.1.ffn_up.weight": "Q8_K"}
    path = write_tiny_gguf(tmp_path / "model.gguf", dim=256, ffn=256, head_dim=64, types=types)
    with open_source(str(path)) as source:
        message = _refusal(source)
    start = f"{path}: tensor 'blk.1.ffn_up.weight' has type Q8_K; supported types: BF16, F16, F32, IQ1_M"
    assert message.startswith(start)


def test_types_that_grow_are_noted(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "model.gguf", quantization="IQ2_XS", types={"blk.1.ffn_up.weight": "Q2_K"})
    with open_source(str(path)) as source:
        (note,) = _plan(source).notes
    assert note.startswith("weights of type IQ2_XS grow by ")


@pytest.mark.parametrize("context", [0, -1, 513])
def test_context_outside_what_the_model_was_trained_on(source: SourceModel, context: int) -> None:
    message = _refusal(source, context=context)
    assert message == f"context {context} is not possible: the model was trained on 1 to 512 tokens"
    assert _plan(source, context=1).options.context_length == 1


@pytest.mark.parametrize("size", [0, 8, 33, 256])
def test_page_size(source: SourceModel, size: int) -> None:
    assert _refusal(source, page_size=size) == f"page size {size} is not one of 16, 32, 64, 128"


@pytest.mark.parametrize("sizes", [(), (0,), (1, 65), (-1, 4)])
def test_batch_sizes(source: SourceModel, sizes: tuple[int, ...]) -> None:
    assert _refusal(source, batch_sizes=sizes) == f"batch sizes {sizes} are not numbers from 1 to 64"


def test_unknown_target(source: SourceModel) -> None:
    assert _refusal(source, targets=("x86-64-v2", "pdp11")).startswith("unknown target 'pdp11'; known: host, x86-64-v2")


def test_a_tokenizer_that_cannot_be_rebuilt(tmp_path: Path) -> None:
    metadata = {"tokenizer.ggml.model": "rwkv"}
    path = write_tiny_gguf(tmp_path / "model.gguf", dim=128, head_dim=32, metadata=metadata)
    with open_source(str(path)) as source:
        assert "rwkv" in _refusal(source)
