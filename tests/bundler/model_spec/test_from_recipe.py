"""Specs in the compile cache: found for a source that a recipe makes the same of, and for no other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharkpack.bundler.compile.cache import CompileCache, keys
from sharkpack.bundler.model_spec import ModelSpec
from sharkpack.bundler.model_spec.from_recipe import spec_of_recipe
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.architectures.names import ARCHITECTURES
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from tests.made_tensors import MadeTensor
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f16")
FACTORS = "rope_freqs.weight"

MakeSpec = Callable[..., tuple[ModelSpec, bool]]


@pytest.fixture
def cache(tmp_path: Path) -> CompileCache:
    return CompileCache(tmp_path / "cache", 1 << 20)


@pytest.fixture
def spec(tmp_path: Path, cache: CompileCache, monkeypatch: pytest.MonkeyPatch) -> MakeSpec:
    """The spec of a tiny model and whether it was found; arguments as for `write_tiny_gguf`, and what to change."""

    def make(
        architecture: str = "llama",
        options: ModelOptions = OPTIONS,
        change: Callable[[SourceModel], SourceModel] = lambda source: source,
        **overrides: Any,
    ) -> tuple[ModelSpec, bool]:
        made: list[str] = []
        recipe = RECIPES[architecture]
        noted = replace(recipe, build=lambda *given: made.append(architecture) or recipe.build(*given))  # type: ignore[func-returns-value]
        with monkeypatch.context() as patch:
            patch.setitem(RECIPES, architecture, noted)
            path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, **overrides)
            with open_source(str(path)) as source:
                return spec_of_recipe(change(source), options, cache), not made

    return make


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_found_is_what_would_be_made(spec: MakeSpec, cache: CompileCache, architecture: str) -> None:
    made, found = spec(architecture)
    assert not found
    again, found = spec(architecture)
    assert found
    assert (again.vocab_size, again.cache_layout, again.state) == (made.vocab_size, made.cache_layout, made.state)
    assert list(again.weights) == list(made.weights)
    (entry,) = cache.entries()
    assert entry.about == f"model spec of a {architecture} model"


def test_a_found_spec_leads_to_its_model(tmp_path: Path, cache: CompileCache) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    with open_source(str(path)) as source:
        made = spec_of_recipe(source, OPTIONS, cache)
        found = spec_of_recipe(source, OPTIONS, cache)
        assert found.make is not None
        assert made.make is not None
        model = found.make()
        assert model is not made.make()
        assert list(model.weights) == list(found.weights)


def test_texts_weights_and_vocabulary_do_not_matter(spec: MakeSpec) -> None:
    texts = {"general.name": "Other", "tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.eos_token_id": 0}
    spec()
    assert spec(seed=1, metadata=texts | {"general.license": "mit"})[1]


def _of_another_kind(source: SourceModel) -> SourceModel:
    return replace(source, kind="huggingface")


def _in_another_row_order(source: SourceModel) -> SourceModel:
    return replace(source, ggml_row_order=False)


@pytest.mark.parametrize(
    "overrides",
    [
        {"layers": 1},
        {"ffn": 128},
        {"tied": False},
        {"rope_factors": True},
        {"types": {"blk.1.ffn_up.weight": "Q4_0"}},
        {"metadata": {"llama.attention.layer_norm_rms_epsilon": 1e-6}},
        {"metadata": {"llama.rope.freq_base": 5e4}},
        {"options": replace(OPTIONS, context_length=32)},
        {"options": replace(OPTIONS, page_size=32)},
        {"options": replace(OPTIONS, cache_dtype="f32")},
        {"architecture": "qwen2"},
        {"change": _of_another_kind},
        {"change": _in_another_row_order},
    ],
    ids=lambda overrides: "-".join(f"{key}={getattr(value, '__name__', value)}" for key, value in overrides.items()),
)
def test_what_a_recipe_can_read_matters(spec: MakeSpec, overrides: dict[str, Any]) -> None:
    spec()
    assert not spec(**overrides)[1]
    assert spec()[1]


def test_the_content_of_tensors_that_a_recipe_reads_matters(spec: MakeSpec) -> None:
    def other_factors(source: SourceModel) -> SourceModel:
        factors = MadeTensor(FACTORS, "F32", np.full(source.tensor(FACTORS).shape, 3, np.float32))
        return replace(source, tensors={**source.tensors, FACTORS: factors})

    made, _ = spec(rope_factors=True)
    assert spec(rope_factors=True)[1]
    changed, found = spec(rope_factors=True, change=other_factors)
    assert not found
    assert changed.state != made.state
    assert spec(rope_factors=True, change=other_factors)[1]


def test_the_code_matters(spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    spec()
    monkeypatch.setattr(keys, "code_digest", lambda: "other")
    assert not spec()[1]


@pytest.mark.parametrize("content", [b"", b"nothing", None], ids=str)
def test_a_damaged_entry_is_made_anew(spec: MakeSpec, cache: CompileCache, content: bytes | None) -> None:
    spec()
    (entry,) = cache.entries()
    path = cache.folder / entry.key
    whole = path.read_bytes()
    if content is None:  # sound, by its digest, and no spec
        cache.put(entry.key, b'{"weights": 1}', "")
    else:
        path.write_bytes(content)
    assert not spec()[1]
    assert path.read_bytes() == whole
    assert cache.problem is None


def test_what_a_recipe_refuses_is_not_kept(spec: MakeSpec, cache: CompileCache) -> None:
    for _ in range(2):
        with pytest.raises(SharkpackError, match=r"hyperparameter 'llama\.unheard_of' = 1 is not known"):
            spec(metadata={"llama.unheard_of": 1})
    assert cache.entries() == []


def test_with_a_compiler_of_the_users_own_nothing_is_kept(
    spec: MakeSpec, cache: CompileCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IREE_TOOL_PATH", "/opt/compiler")
    assert [spec()[1] for _ in range(2)] == [False, False]
    assert cache.entries() == []
