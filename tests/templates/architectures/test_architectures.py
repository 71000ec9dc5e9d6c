"""Each architecture, from a checkpoint that transformers wrote: its logits are those that transformers computes."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from torch import Tensor

from sharkpack.bundler.sources import open_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.ops import rounding_activations
from tests.templates.running import LENGTH, TOKENS, Running, load, options
from tests.templates.weights import error
from tests.tiny_architectures import TINY, write_architecture
from tests.tiny_checkpoints import edit_json, reference_logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@cache
def _reference(folder: Path, name: str) -> tuple[CausalModel, Tensor]:
    """The recipe's model in float32, and what transformers computes for both rows of TOKENS."""
    written = write_architecture(folder / name, name)
    with open_source(str(written)) as source:
        return load(source, options("f32")), reference_logits(written, TOKENS)


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", TINY)
def test_logits_are_those_of_transformers(folder: Path, architecture: str) -> None:
    """Prefill, decode and prefill again, within pages and windows and across them."""
    model, wanted = _reference(folder, architecture)
    for length, found in Running(model).in_chunks(TOKENS[0], [1, 1, 14, 1, 18, 1]).items():
        assert error(found, wanted[0, length - 1]) < 1e-5, length


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", TINY)
def test_two_sequences_padded_to_the_longer(folder: Path, architecture: str) -> None:
    model, wanted = _reference(folder, architecture)
    both = Running(model, 2)
    prefill = both.step(TOKENS[:, :30], [0, 0], [30, 11])
    decode = both.step(TOKENS[[0, 1], [30, 11]][:, None], [30, 11], [31, 12])
    for n, length in enumerate((30, 11)):
        assert error(prefill[n], wanted[n, length - 1]) < 1e-5
        assert error(decode[n], wanted[n, length]) < 1e-5


def test_every_recipe_is_among_them(folder: Path) -> None:
    used = set()
    for name in TINY:
        with open_source(str(write_architecture(folder / f"of {name}", name, num_hidden_layers=1))) as source:
            used.add(source.architecture)
    assert used == set(RECIPES)


def test_no_window_is_another_model(folder: Path) -> None:
    """Without windows, Mistral and Phi-3 see what the windows hide: the test above would notice."""
    for name in ("mistral", "phi3"):
        _, wanted = _reference(folder, name)
        written = write_architecture(folder / f"{name} without", name)
        edit_json(written / "config.json", sliding_window=None)
        with open_source(str(written)) as source:
            found = Running(load(source, options("f32"))).in_chunks(TOKENS[0], [11, LENGTH - 11])
        assert error(found[11], wanted[0, 10]) < 1e-5
        assert error(found[LENGTH], wanted[0, LENGTH - 1]) > 1e-2


def test_longrope_takes_its_divisors_by_the_context(folder: Path) -> None:
    """Built for no more than the original 32 positions, a model computes what transformers does of texts so short."""
    written = write_architecture(folder / "short", "phi3-longrope")
    wanted = reference_logits(written, TOKENS[:1, :20])[0]
    with open_source(str(written)) as source:
        short = load(source, replace(options("f32"), context_length=32))
        long = load(source, options("f32"))
    assert error(Running(short).in_chunks(TOKENS[0], [20])[20], wanted[19]) < 1e-5
    assert error(Running(long).in_chunks(TOKENS[0], [20])[20], wanted[19]) > 1e-3


def test_longrope_without_the_divisors_that_are_needed(folder: Path) -> None:
    written = write_architecture(folder / "halved", "phi3-longrope")
    with open_source(str(written)) as source:
        tensors = {name: source.tensors[name] for name in source.tensors if name != "rope_factors_long.weight"}
        with pytest.raises(SharkpackError) as caught:
            RECIPES["phi3"].build(replace(source, tensors=tensors), options("f32"))
    assert str(caught.value) == ("tensor 'rope_factors_long.weight' is missing; a phi3 model with rope factors has it")


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("name", ["qwen2moe", "qwen3moe"])
def test_weights_of_experts_as_the_config_says(folder: Path, name: str, normalise: bool) -> None:
    """Not what is usual for the architecture."""
    written = write_architecture(folder / f"{name} {normalise}", name, norm_topk_prob=normalise, num_hidden_layers=1)
    with open_source(str(written)) as source:
        found = Running(load(source, options("f32"))).in_chunks(TOKENS[0], [8])
    assert error(found[8], reference_logits(written, TOKENS[:1, :8])[0, 7]) < 1e-5


def test_default_precision_is_close(folder: Path) -> None:
    """8-bit activations and a float16 cache leave float weights' matmuls as they are: what is off is the cache."""
    for name in ("olmo2", "stablelm", "mixtral"):
        _, wanted = _reference(folder, name)
        with open_source(str(folder / name)) as source:
            model = load(source, options("f16"))
        with rounding_activations():
            found = Running(model).in_chunks(TOKENS[0], [LENGTH])[LENGTH]
        assert 1e-6 < error(found, wanted[0, LENGTH - 1]) < 1e-2


@pytest.mark.parametrize(("name", "norm"), [("stablelm", "a"), ("stablelm-parallel", "no")])
def test_blocks_that_are_side_by_side_or_not(folder: Path, name: str, norm: str) -> None:
    """A checkpoint whose config and norms disagree is refused; a GGUF file means what its norms say."""
    parallel = norm == "a"
    written = write_architecture(folder / f"{name} contradicted", name)
    edit_json(written / "config.json", use_parallel_residual=parallel)
    with open_source(str(written)) as source:
        with pytest.raises(SharkpackError) as caught:
            RECIPES["stablelm"].build(source, options("f32"))
        RECIPES["stablelm"].build(replace(source, kind="gguf"), options("f32"))
    wanted = f"use_parallel_residual is {parallel}, but the feed-forward parts have {norm} norm of their own"
    assert str(caught.value) == wanted
