"""Whole models through the generic lowering: nothing is copied or unpacked, and all of them compute what the recipe
does when torch runs it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sharkpack.bundler.compile import compiler
from sharkpack.bundler.compile.trace import trace
from sharkpack.bundler.sources import open_source
from sharkpack.formats.cache_geometry import CacheDtype
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.lowering.lowering import link
from tests.templates.lowering.generic.compiled_model import CompiledModel
from tests.templates.lowering.generic.operator_runner import generic_target
from tests.templates.running import TOKENS, Running, load
from tests.templates.weights import error
from tests.tiny_architectures import TINY, write_architecture
from tests.tiny_models import write_tiny_gguf


def _options(dtype: CacheDtype) -> ModelOptions:
    return ModelOptions(context_length=48, page_size=16, cache_dtype=dtype)


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny model, as the compiler schedules its dispatches and copies."""
    path = write_tiny_gguf(tmp_path_factory.mktemp("scheduled") / "tiny.gguf", "llama", "Q4_0", layers=3)
    with open_source(str(path)) as source:
        traced = trace(RECIPES["llama"].build(source, _options("f16")), _options("f16"), (2,))
    flags = [*compiler.flags_of(generic_target()), "--compile-to=stream", compiler.UNVERIFIED]
    return compiler._compile(link(traced.text, generic_target().lowering), flags).decode()


def test_the_cache_is_updated_in_place(scheduled: str) -> None:
    functions = re.split(r"\n  util\.func ", scheduled)[1:]
    for name in ("prefill_bs2", "decode_bs2"):
        (text,) = [each for each in functions if each.startswith(f"public @{name}$async(")]
        assert text.count("stream.cmd.dispatch") > 50
        assert "stream.cmd.copy" not in text


def test_layers_share_their_code(scheduled: str) -> None:
    dispatched = re.findall(r"stream\.cmd\.dispatch (@[\w$]+)::", scheduled)
    assert len(dispatched) > 1.8 * len(set(dispatched))


def test_weights_stay_packed(scheduled: str) -> None:
    """The compiler hoists only a table of rope's, for two sequences, into the loading of a module."""
    assert set(re.findall(r"@__hoisted_tensor_(\w+) :", scheduled)) <= {"2x32xf32"}


def _compiled(path: Path, dtype: CacheDtype) -> tuple[CausalModel, CompiledModel]:
    """Returns a source's model for torch, and compiled for two sequences."""
    options = _options(dtype)
    with open_source(str(path)) as source:
        # GGUF asks for ggml's GELU, whose float16 may round the other way.
        source = replace(source, kind="reference")
        eager = load(source, options)
        recipe = RECIPES[source.architecture]
        return eager, CompiledModel(lambda: recipe.build(source, options), eager, options, (2,), generic_target())


def _largest_error(eager: CausalModel, compiled: CompiledModel) -> float:
    """Returns the largest error of two sequences' prefill, padded to the longer, decode steps, and prefill again."""
    errors = []
    both = Running(eager, 2), Running(compiled, 2)
    for lens, after in (((0, 0), (30, 11)), ((30, 11), (31, 12)), ((31, 12), (32, 13)), ((32, 13), (36, 15))):
        longest = max(end - start for start, end in zip(lens, after, strict=True))
        tokens = torch.stack([TOKENS[n, start : start + longest] for n, start in enumerate(lens)])
        wanted, found = (running.step(tokens, list(lens), list(after)) for running in both)
        errors.append(error(found, wanted))
    return max(errors)


# `scripts/check test -m slow tests/templates/lowering/generic`: half a minute each on one core.


@pytest.mark.slow
@pytest.mark.supports("architecture")
@pytest.mark.parametrize("name", TINY)
def test_every_architecture_computes_what_torch_does(tmp_path: Path, name: str) -> None:
    assert _largest_error(*_compiled(write_architecture(tmp_path / name, name), "f32")) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "architecture"), [("f16", "qwen3"), ("i8", "gemma3"), ("i8", "mixtral")])
def test_other_caches(tmp_path: Path, dtype: CacheDtype, architecture: str) -> None:
    """A key or value on the edge between two numbers of the cache may go to the other: far less than rounding costs."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, "Q4_K")
    assert _largest_error(*_compiled(path, dtype)) < {"f16": 1e-3, "i8": 5e-3}[dtype]
