"""Keys: equal for what compiles to the same code, and different as soon as anything that matters is."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grimp
import pytest
import torch

from sharkpack.bundler.compile_cache import keys
from sharkpack.bundler.compile_cache.keys import code_digest, module_key, program_key, target_key
from sharkpack.bundler.sources import open_source
from sharkpack.bundler.targets import TARGETS
from sharkpack.templates.recipe import CausalModel, ModelOptions
from sharkpack.templates.recipes import RECIPES
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f16", activations="int8")
MakeModel = Callable[..., CausalModel]
PYTHONS_OWN = "templates/__pycache__/llama.cpython-311.pyc.140213000"
"""What stands there for a moment when a module is imported for the first time."""


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Build a recipe over a tiny model; arguments as for `write_tiny_gguf`."""

    def make(architecture: str = "llama", options: ModelOptions = OPTIONS, **overrides: Any) -> CausalModel:
        path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, **overrides)
        with open_source(str(path)) as source:
            return RECIPES[architecture].build(source, options)

    return make


@pytest.mark.parametrize("architecture", list(RECIPES))
def test_every_recipe_has_a_key(make_model: MakeModel, architecture: str) -> None:
    key = program_key(make_model(architecture), OPTIONS, (1, 4))
    assert key is not None
    assert program_key(make_model(architecture), OPTIONS, (1, 4)) == key


def test_weights_vocabulary_and_template_do_not_matter(make_model: MakeModel) -> None:
    texts = {"general.name": "Other", "tokenizer.chat_template": "{{ messages }}", "tokenizer.ggml.eos_token_id": 0}
    first = program_key(make_model(), OPTIONS, (1,))
    assert program_key(make_model(seed=1, metadata=texts), OPTIONS, (1,)) == first


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
    assert program_key(make_model(**overrides), OPTIONS, (1,)) != program_key(make_model(), OPTIONS, (1,))


def test_architectures_options_and_batch_sizes_matter(make_model: MakeModel) -> None:
    variants = [
        replace(OPTIONS, context_length=32),
        replace(OPTIONS, page_size=32),
        replace(OPTIONS, cache_dtype="f32"),
        replace(OPTIONS, activations="float32"),
    ]
    found = [program_key(make_model(options=options), options, (1,)) for options in (OPTIONS, *variants)]
    found += [program_key(make_model(), OPTIONS, sizes) for sizes in ((1, 4), (4,))]
    found.append(program_key(make_model("qwen2"), OPTIONS, (1,)))
    assert len(set(found)) == len(found)


def test_the_target_matters() -> None:
    targets = list(TARGETS.values())
    assert len({target_key("p", target) for target in targets}) == len(targets)
    assert len({module_key("text", target) for target in targets}) == len(targets)
    target = TARGETS["x86-64-v3"]
    assert target_key("p", target) != target_key("q", target)
    assert module_key("text", target) != module_key("text ", target)
    assert target_key("p", replace(target, priority=99)) == target_key("p", target)
    assert target_key("p", replace(target, isa=TARGETS["x86-64-v2"].isa)) != target_key("p", target)
    assert module_key("text", replace(target, flags=(*target.flags, "--more"))) != module_key("text", target)


@pytest.mark.parametrize("package", keys.PACKAGES)
def test_versions_matter(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    model, target = make_model(), TARGETS["x86-64-v3"]
    before = (program_key(model, OPTIONS, (1,)), module_key("text", target))
    version = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: version(name) + ("+1" if name == package else ""))
    after = (program_key(model, OPTIONS, (1,)), module_key("text", target))
    assert all(new != old for new, old in zip(after, before, strict=True))


def test_the_code_matters(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model, target = make_model(), TARGETS["x86-64-v3"]
    before = (program_key(model, OPTIONS, (1,)), module_key("text", target))
    monkeypatch.setattr(keys, "code_digest", lambda: "other")
    assert program_key(model, OPTIONS, (1,)) != before[0]
    assert module_key("text", target) == before[1]  # the text says it all


def test_the_digest_of_the_code_sees_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package like ours at a place where its files can be changed."""
    digests = {_digest_of_copy(tmp_path, monkeypatch, None)}
    for name in ("templates/llama.py", "templates/kernels/deep.py", "formats/quant/table.bin", "bundler/program.py"):
        digests.add(_digest_of_copy(tmp_path, monkeypatch, name))
        digests.add(_digest_of_copy(tmp_path, monkeypatch, None))
    assert len(digests) == 5
    before = _digest_of_copy(tmp_path, monkeypatch, None)
    for name in ("cli/run.py", PYTHONS_OWN):
        assert _digest_of_copy(tmp_path, monkeypatch, name) == before


def _digest_of_copy(root: Path, monkeypatch: pytest.MonkeyPatch, changed: str | None) -> str:
    names = ["templates/llama.py", "templates/kernels/deep.py", "formats/quant/table.bin", "cli/run.py"]
    names += [PYTHONS_OWN, "bundler/program.py", "bundler/compiler.py", "bundler/targets.py"]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("changed" if name == changed else "text")
    monkeypatch.setattr(keys, "__file__", str(root / "bundler" / "compile_cache" / "keys.py"))
    return code_digest.__wrapped__()


def test_the_digest_covers_all_that_is_imported() -> None:
    """Whatever tracing, linking and compiling import of ours is in SOURCES."""
    graph = grimp.build_graph("sharkpack", cache_dir=None)
    used = {"sharkpack.bundler.program", "sharkpack.bundler.compiler"}
    used |= {name for start in tuple(used) for name in graph.find_upstream_modules(start)}
    covered = tuple("sharkpack." + source.removesuffix(".py").replace("/", ".") for source in keys.SOURCES)
    assert {
        name for name in used - {"sharkpack"} if not f"{name}.".startswith(tuple(f"{c}." for c in covered))
    } == set()


def test_what_no_key_can_stand_for_has_none(make_model: MakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(torch.nn.Module):
        pass

    model = make_model()
    assert program_key(model, OPTIONS, (1,)) is not None
    with monkeypatch.context() as patch:
        patch.setenv("IREE_TOOL_PATH", "/opt/compiler")
        assert program_key(model, OPTIONS, (1,)) is None
    model.scale = lambda x: x  # type: ignore[assignment]
    assert program_key(model, OPTIONS, (1,)) is None
    del model.scale
    model.extra = Foreign()
    assert program_key(model, OPTIONS, (1,)) is None
