"""Targets: what each asks of a CPU, which one `host` is, and what is said of names that are none."""

import pytest

from sharkpack.bundler.targets import TARGETS, Target, best_of_host, choose_targets
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.isa import AVX512_VNNI, BASELINE

V2, V3, V4, VNNI = (
    frozenset(TARGETS[name].cpu_features) for name in ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni")
)


def _ids(targets: tuple[Target, ...]) -> list[str]:
    return [target.id for target in targets]


def test_each_is_filed_under_its_name() -> None:
    assert list(TARGETS) == ["x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-vnni", "aarch64"]
    assert all(name == target.id for name, target in TARGETS.items())


def test_levels_ask_for_more_and_are_preferred_in_that_order() -> None:
    """The psABI's levels; each target's kernels use nothing that it does not ask for."""
    assert V2 < V3 < V4 < VNNI
    assert frozenset({"avx512vnni"}) == VNNI - V4
    assert "fma" not in V2
    assert {"avx2", "fma", "f16c"} <= V3
    x86 = [target for target in TARGETS.values() if target.architecture == "x86_64"]
    assert x86 == sorted(x86, key=lambda target: target.priority)
    assert len({target.priority for target in x86}) == len(x86)
    for target in x86:
        assert not target.isa.fma or "fma" in target.cpu_features
        assert target.isa.dot != "avx512vnni" or "avx512vnni" in target.cpu_features
    assert TARGETS["x86-64-v2"].isa is BASELINE
    assert TARGETS["x86-64-v4-vnni"].isa is AVX512_VNNI


@pytest.mark.parametrize(
    ("features", "best"),
    [
        (V2, "x86-64-v2"),
        (V3, "x86-64-v3"),
        (V3 | {"avxvnni", "avx512f"}, "x86-64-v3"),
        (V4, "x86-64-v4"),
        (VNNI | {"amx-int8"}, "x86-64-v4-vnni"),
        (VNNI - {"avx512bw"}, "x86-64-v3"),
        (VNNI - {"fma"}, "x86-64-v2"),
    ],
)
def test_host_is_the_best_that_fits(features: frozenset[str], best: str) -> None:
    assert best_of_host("x86_64", features).id == best
    assert _ids(choose_targets(("host",), "x86_64", features)) == [best]
    assert _ids(choose_targets((), "x86_64", features)) == [best]


def test_host_of_another_architecture() -> None:
    assert best_of_host("aarch64", frozenset({"neon"})).id == "aarch64"


@pytest.mark.parametrize(("architecture", "features"), [("x86_64", V2 - {"ssse3"}), ("riscv64", VNNI), ("aarch64", V4)])
def test_a_host_that_nothing_fits(architecture: str, features: frozenset[str]) -> None:
    with pytest.raises(SharkpackError) as error:
        choose_targets(("host",), architecture, features)
    assert str(error.value) == (
        f"no target fits this machine ({architecture}); name the one that will run the bundle with --target: "
        "x86-64-v2, x86-64-v3, x86-64-v4, x86-64-v4-vnni, aarch64"
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
        "unknown target 'x86-64-v9'; known: host, x86-64-v2, x86-64-v3, x86-64-v4, x86-64-v4-vnni, aarch64"
    )
