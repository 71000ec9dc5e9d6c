"""A model's state in keys: equal for what is traced to the same program, and different as soon as anything matters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sharkpack.bundler.model_spec.from_model import spec_of_model
from sharkpack.bundler.sources import open_source
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f16")
MakeModel = Callable[..., CausalModel]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Build a recipe over a tiny model; arguments as for `write_tiny_gguf`."""

    def make(architecture: str = "llama", **overrides: Any) -> CausalModel:
        path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, **overrides)
        with open_source(str(path)) as source:
            return RECIPES[architecture].build(source, OPTIONS)

    return make


def test_what_a_model_spec_has(make_model: MakeModel) -> None:
    model = make_model()
    spec = spec_of_model(model)
    assert (spec.vocab_size, spec.cache_layout) == (model.vocab_size, model.cache_layout)
    assert spec.weights == model.weights
    assert spec.make is not None
    assert spec.make() is model


def test_every_recipe_has_a_state_of_its_own(make_model: MakeModel) -> None:
    states = [spec_of_model(make_model(architecture)).state for architecture in RECIPES]
    assert None not in states
    assert len(set(states)) == len(states)
    assert [spec_of_model(make_model(architecture)).state for architecture in RECIPES] == states


def test_weights_vocabulary_and_template_do_not_matter(make_model: MakeModel) -> None:
    texts = {"general.name": "Other", "tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.eos_token_id": 0}
    assert spec_of_model(make_model(seed=1, metadata=texts)).state == spec_of_model(make_model()).state


@pytest.mark.parametrize(
    "overrides",
    [
        {"layers": 1},
        {"ffn": 128},
        {"kv_heads": 4},
        {"tied": False},
        {"rope_factors": True},
        {"types": {"blk.1.ffn_up.weight": "Q4_0"}},
        {"metadata": {"llama.attention.layer_norm_rms_epsilon": 1e-6}},
        {"metadata": {"llama.rope.freq_base": 5e4}},
    ],
    ids=str,
)
def test_what_the_model_is_matters(make_model: MakeModel, overrides: dict[str, Any]) -> None:
    assert spec_of_model(make_model(**overrides)).state != spec_of_model(make_model()).state


def test_what_no_digest_can_stand_for_has_none(make_model: MakeModel) -> None:
    class Foreign(torch.nn.Module):
        pass

    model = make_model()
    assert spec_of_model(model).state is not None
    model.scale = lambda x: x  # type: ignore[assignment]
    assert spec_of_model(model).state is None
    del model.scale
    model.extra = Foreign()
    assert spec_of_model(model).state is None
