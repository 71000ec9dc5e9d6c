"""Targets: what each requires of a CPU, which one `host` is, and what is said of names that are none."""

import pytest

from sharkpack.bundler.compile.targets import TARGETS, Target, best_of_host, choose_targets
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.isa import AVX512_VNNI, SSSE3
from sharkpack.templates.lowering.cpu import Cpu
from sharkpack.templates.lowering.generic import Generic

X86 = ("x86-64-v2", "x86-64-v3", "x86-64-v3-vnni", "x86-64-v4", "x86-64-v4-vnni")
ARM = ("aarch64", "aarch64-dotprod", "aarch64-i8mm")
GENERIC = ("generic-x86-64", "generic-aarch64")
V2, V3, V3_VNNI, V4, VNNI = (frozenset(TARGETS[name].cpu_features) for name in X86)


def _ids(targets: tuple[Target, ...]) -> list[str]:
    return [target.id for target in targets]


def test_each_is_filed_under_its_name() -> None:
    assert list(TARGETS) == [*X86, *ARM, *GENERIC]
    assert all(name == target.id for name, target in TARGETS.items())


def test_levels_require_more_and_are_preferred_in_that_order() -> None:
    """The psABI's levels; each target's kernels use nothing that it does not require."""
    assert V2 < V3 < V4 < VNNI
    assert frozenset({"avx512vnni"}) == VNNI - V4
    assert frozenset({"avxvnni"}) == V3_VNNI - V3
    assert "fma" not in V2
    assert {"avx2", "fma", "f16c"} <= V3
    for names in (X86, ARM):
        targets = [TARGETS[name] for name in names]
        assert targets == sorted(targets, key=lambda target: target.priority)
        assert len({target.priority for target in targets}) == len(targets)
    for name, least in zip(GENERIC, ("x86-64-v2", "aarch64"), strict=True):
        assert TARGETS[name].cpu_features == TARGETS[least].cpu_features
        assert TARGETS[name].priority < TARGETS[least].priority
        assert TARGETS[name].lowering == Generic()
    assert TARGETS["x86-64-v2"].lowering == Cpu(isa=SSSE3)
    assert TARGETS["x86-64-v4-vnni"].lowering == Cpu(isa=AVX512_VNNI)


@pytest.mark.parametrize("name", [*X86, *ARM])
def test_kernels_use_nothing_that_the_target_does_not_require(name: str) -> None:
    target = TARGETS[name]
    assert isinstance(target.lowering, Cpu)
    isa, features = target.lowering.isa, frozenset(target.cpu_features)
    needed = {"x86_64": {16: "ssse3", 32: "avx2", 64: "avx512bw"}, "aarch64": {16: "neon"}}
    assert needed[target.architecture][isa.register_bytes] in features
    dots = {("vnni", 32): "avxvnni", ("vnni", 64): "avx512vnni", ("sdot", 16): "dotprod", ("usdot", 16): "i8mm"}
    if isa.dot not in ("portable", "maddubs"):
        assert dots[isa.dot, isa.register_bytes] in features
    assert isa.shuffle == ("tbl" if target.architecture == "aarch64" else "pshufb")
    assert not isa.fma or target.architecture == "aarch64" or "fma" in features


@pytest.mark.parametrize(
    ("features", "best"),
    [
        (V2, "x86-64-v2"),
        (V3, "x86-64-v3"),
        (V3 | {"avx512f"}, "x86-64-v3"),
        (V3_VNNI, "x86-64-v3-vnni"),
        (V4, "x86-64-v4"),
        (VNNI | {"amx-int8"}, "x86-64-v4-vnni"),
        (VNNI | {"avxvnni"}, "x86-64-v4-vnni"),
        (VNNI - {"avx512bw"}, "x86-64-v3"),
        (VNNI - {"fma"}, "x86-64-v2"),
    ],
)
def test_host_is_the_best_that_fits(features: frozenset[str], best: str) -> None:
    assert best_of_host("x86_64", features).id == best
    assert _ids(choose_targets(("host",), "x86_64", features)) == [best]
    assert _ids(choose_targets((), "x86_64", features)) == [best]


@pytest.mark.parametrize(
    ("features", "best"),
    [({"neon"}, "aarch64"), ({"neon", "dotprod"}, "aarch64-dotprod"), ({"neon", "dotprod", "i8mm"}, "aarch64-i8mm")],
)
def test_host_of_another_architecture(features: set[str], best: str) -> None:
    assert best_of_host("aarch64", frozenset(features)).id == best


@pytest.mark.parametrize(("architecture", "features"), [("x86_64", V2 - {"ssse3"}), ("riscv64", VNNI), ("aarch64", V4)])
def test_a_host_that_nothing_fits(architecture: str, features: frozenset[str]) -> None:
    with pytest.raises(SharkpackError) as error:
        choose_targets(("host",), architecture, features)
    assert str(error.value) == (
        f"no target fits this machine ({architecture}); name the one that will run the bundle with --target: "
        "x86-64-v2, x86-64-v3, x86-64-v3-vnni, x86-64-v4, x86-64-v4-vnni, aarch64, aarch64-dotprod, aarch64-i8mm, "
        "generic-x86-64, generic-aarch64"
    )


def test_several_are_kept_in_order_without_repeats() -> None:
    """Naming a target needs no machine that runs it."""
    names = ("aarch64", "x86-64-v2", "host", "x86-64-v3", "aarch64")
    assert _ids(choose_targets(names, "x86_64", V3)) == ["aarch64", "x86-64-v2", "x86-64-v3"]
    assert _ids(choose_targets(("x86-64-v4-vnni",), "x86_64", frozenset())) == ["x86-64-v4-vnni"]


def test_an_unknown_name() -> None:
    with pytest.raises(SharkpackError) as error:
        choose_targets(("x86-64-v2", "x86-64-v9"), "x86_64", V2)
    assert str(error.value) == (
        "unknown target 'x86-64-v9'; known: host, x86-64-v2, x86-64-v3, x86-64-v3-vnni, x86-64-v4, x86-64-v4-vnni, "
        "aarch64, aarch64-dotprod, aarch64-i8mm, generic-x86-64, generic-aarch64"
    )


def test_activations_are_a_targets() -> None:
    """int8, unless others are asked for: for all targets alike."""
    names = ("x86-64-v3", "aarch64")
    assert {target.lowering.activations for target in choose_targets(names, "x86_64", V2)} == {"int8"}
    found = choose_targets(names, "x86_64", V2, "float32")
    assert [target.lowering.activations for target in found] == ["float32", "float32"]
    assert _ids(found) == list(names)
