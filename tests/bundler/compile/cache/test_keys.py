"""Keys: equal for what compiles to the same code, and different as soon as anything that matters is."""

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import grimp
import pytest

from sharkpack.bundler.compile.cache import keys
from sharkpack.bundler.compile.cache.keys import code_digest, made_key, module_key, program_key, target_key
from sharkpack.bundler.compile.targets import TARGETS
from sharkpack.templates.layers.model_options import ModelOptions

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f16")
STATE = "0" * 64
PYTHONS_OWN = "templates/__pycache__/llama.cpython-311.pyc.140213000"
"""What stands there for a moment when a module is imported for the first time."""

COVERED = (
    "templates/architectures/llama.py",
    "templates/kernels/deep.py",
    "formats/quant/table.bin",
    "bundler/compile/cache/keys.py",
    "bundler/model_spec/spec.py",
    "bundler/compile/compiler.py",
    "bundler/compile/program.py",
    "bundler/compile/targets.py",
    "bundler/compile/trace.py",
)
"""Some of what a digest of code has to see: of each entry of SOURCES."""


def test_state_options_and_batch_sizes_matter() -> None:
    variants = [
        replace(OPTIONS, context_length=32),
        replace(OPTIONS, page_size=32),
        replace(OPTIONS, cache_dtype="f32"),
    ]
    found = [program_key(STATE, options, (1,)) for options in (OPTIONS, *variants)]
    found += [program_key(STATE, OPTIONS, sizes) for sizes in ((1, 4), (4,))]
    found.append(program_key("other", OPTIONS, (1,)))
    assert len(set(found)) == len(found)
    assert None not in found
    assert program_key(STATE, OPTIONS, (1,)) == found[0]


def test_the_target_matters() -> None:
    targets = list(TARGETS.values())
    assert len({target_key("p", target) for target in targets}) == len(targets)
    # The compiler knows nothing else of a target than its flags.
    assert len({module_key("text", target) for target in targets}) == len({target.flags for target in targets})
    target = TARGETS["x86-64-v3"]
    assert target_key("p", target) != target_key("q", target)
    assert module_key("text", target) != module_key("text ", target)
    assert target_key("p", replace(target, priority=99)) == target_key("p", target)
    assert target_key("p", replace(target, lowering=TARGETS["x86-64-v2"].lowering)) != target_key("p", target)
    float32 = replace(target, lowering=target.lowering.with_activations("float32"))
    assert target_key("p", float32) != target_key("p", target)
    assert module_key("text", replace(target, flags=(*target.flags, "--more"))) != module_key("text", target)


@pytest.mark.parametrize("package", keys.PACKAGES)
def test_versions_matter(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    target = TARGETS["x86-64-v3"]
    before = (program_key(STATE, OPTIONS, (1,)), module_key("text", target))
    version = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: version(name) + ("+1" if name == package else ""))
    after = (program_key(STATE, OPTIONS, (1,)), module_key("text", target))
    assert all(new != old for new, old in zip(after, before, strict=True))


def test_the_code_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    target = TARGETS["x86-64-v3"]
    before = (program_key(STATE, OPTIONS, (1,)), module_key("text", target))
    monkeypatch.setattr(keys, "code_digest", lambda: "other")
    assert program_key(STATE, OPTIONS, (1,)) != before[0]
    assert module_key("text", target) == before[1]  # the text says it all


def test_the_digest_of_the_code_sees_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package like ours at a place where its files can be changed."""
    digests = {_digest_of_copy(tmp_path, monkeypatch, None)}
    for name in COVERED:
        digests.add(_digest_of_copy(tmp_path, monkeypatch, name))
        digests.add(_digest_of_copy(tmp_path, monkeypatch, None))
    assert len(digests) == 1 + len(COVERED)
    before = _digest_of_copy(tmp_path, monkeypatch, None)
    for name in ("cli/run.py", PYTHONS_OWN):
        assert _digest_of_copy(tmp_path, monkeypatch, name) == before


def _digest_of_copy(root: Path, monkeypatch: pytest.MonkeyPatch, changed: str | None) -> str:
    for name in (*COVERED, "cli/run.py", PYTHONS_OWN):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("changed" if name == changed else "text")
    monkeypatch.setattr(keys, "__file__", str(root / "bundler" / "compile" / "cache" / "keys.py"))
    return code_digest.__wrapped__()


def test_the_digest_covers_all_that_is_imported() -> None:
    """Whatever outlining, tracing, linking and compiling import of ours is in SOURCES."""
    graph = grimp.build_graph("sharkpack", cache_dir=None)
    begun = ("compile.compiler", "model_spec.from_recipe", "compile.program", "compile.trace")
    used = {f"sharkpack.bundler.{name}" for name in begun}
    used |= {name for start in tuple(used) for name in graph.find_upstream_modules(start)}
    assert "sharkpack.bundler.model_spec.from_model" in used
    covered = tuple("sharkpack." + source.removesuffix(".py").replace("/", ".") for source in keys.SOURCES)
    assert {
        name for name in used - {"sharkpack"} if not f"{name}.".startswith(tuple(f"{c}." for c in covered))
    } == set()


def test_what_no_key_can_stand_for_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_key("model spec", {"key": [1, 2.5, "text", None]}) is not None
    assert made_key("model spec", {"key": object()}) is None
    monkeypatch.setenv("IREE_TOOL_PATH", "/opt/compiler")
    assert made_key("model spec") is None
    assert program_key(STATE, OPTIONS, (1,)) is None
