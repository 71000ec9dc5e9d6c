"""Selection: the best target that can run, the reason against each other, and errors that say what is missing."""

from dataclasses import replace
from pathlib import Path

import pytest

from sharkpack.formats.archive.manifest import RESERVED_FEATURES, Manifest, Requirements, TargetInfo
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.host.cpu import Cpu
from sharkpack.runtime_shim import Bundle, Engine
from sharkpack.runtime_shim.device.requirements import DeviceFacts
from sharkpack.runtime_shim.device.selection import Machine, devices, select
from tests.runtime_shim.toy_bundle import ToyBundle, toy_target
from tests.runtime_shim.toy_language import continuation

V2 = toy_target("x86-64-v2", priority=10, features=("sse4.2", "popcnt"), architecture="x86_64")
V4 = toy_target("x86-64-v4-vnni", priority=40, features=("sse4.2", "avx512f", "avx512vnni"), architecture="x86_64")
ARM = toy_target("aarch64", priority=10, architecture="aarch64")
GPU = toy_target("cuda-sm_89", priority=90, driver="cuda", architecture="sm_89")


def _machine(
    *features: str, architecture: str = "x86_64", gpu: str | None = "no library", version: str = "3.13.0"
) -> Machine:
    return Machine(
        cpu=Cpu(architecture=architecture, features=frozenset(features), physical_cores=4),
        runtime_version=version,
        missing_driver=lambda name: None if name.startswith("local") else gpu,
    )


OLD = _machine("sse4.2", "popcnt")
NEW = _machine("sse4.2", "popcnt", "avx512f", "avx512vnni")


def _manifest(*targets: TargetInfo, minimum: str = "3.13.0") -> Manifest:
    return ToyBundle(code=b"", minimum_runtime=minimum).manifest(targets)


def test_the_highest_priority_that_fits() -> None:
    selection = select(_manifest(V2, V4, ARM, GPU), machine=NEW)
    assert (selection.target.id, selection.device_uri) == ("x86-64-v4-vnni", "local-task")
    assert {each.target_id: each.reason for each in selection.rejected} == {
        "cuda-sm_89": "needs a cuda device: no library",
        "aarch64": "is code for aarch64, and this CPU is x86_64",
        "x86-64-v2": "runs here, but x86-64-v4-vnni comes first",
    }


def test_missing_features_are_named() -> None:
    selection = select(_manifest(V2, V4), machine=OLD)
    assert selection.target.id == "x86-64-v2"
    assert selection.rejected[0].reason == "needs the CPU features avx512f, avx512vnni, which this CPU lacks"


def test_a_gpu_that_is_here_comes_first_and_a_named_device_narrows() -> None:
    machine = _machine("sse4.2", "popcnt", gpu=None)
    assert select(_manifest(V2, GPU), machine=machine).device_uri == "cuda"
    assert select(_manifest(V2, GPU), machine=machine, device="cuda://1").device_uri == "cuda://1"
    selection = select(_manifest(V2, GPU), machine=machine, device="local-sync")
    assert (selection.target.id, selection.device_uri) == ("x86-64-v2", "local-sync")


def test_requirements_of_a_gpu_are_held_to_what_its_driver_says() -> None:
    wanting = replace(GPU, requires=Requirements(architecture="sm_80", memory_bytes=16 << 30))
    small, large = (DeviceFacts(architecture="sm_90", memory_bytes=size << 30) for size in (8, 80))
    machine = _machine("sse4.2", "popcnt", gpu=None)
    selection = select(_manifest(V2, wanting), machine=replace(machine, device_facts=lambda uri: small))
    assert selection.target.id == "x86-64-v2"
    assert selection.rejected[0].reason == "needs 16.0 GiB of device memory, and there are 8.0"
    assert select(_manifest(V2, wanting), machine=replace(machine, device_facts=lambda uri: large)).device_uri == "cuda"


def test_an_unknown_requirement_makes_its_target_unusable_and_no_other() -> None:
    newer = replace(V4, requires=replace(V4.requires, unknown={"cache_lines": 128}))
    selection = select(_manifest(V2, newer), machine=NEW)
    assert selection.target.id == "x86-64-v2"
    assert selection.rejected[0].reason == (
        "has the requirement 'cache_lines', which this version of sharkpack does not know"
    )


@pytest.mark.parametrize("feature", sorted(RESERVED_FEATURES))
def test_a_feature_that_can_be_read_and_not_run_is_named(feature: str) -> None:
    manifest = _manifest(V2)
    needing = replace(manifest, format=replace(manifest.format, required_features=(feature,)))
    with pytest.raises(SharkpackError, match=f"the bundle needs the feature '{feature}', which this sharkpack does"):
        select(needing, machine=NEW)


def test_a_named_target_is_taken_or_refused_with_the_same_checks() -> None:
    assert select(_manifest(V2, V4), machine=NEW, target="x86-64-v2").target.id == "x86-64-v2"
    with pytest.raises(SharkpackError) as error:
        select(_manifest(V2, V4), machine=OLD, target="x86-64-v4-vnni")
    assert str(error.value) == (
        "the target asked for cannot run here: "
        "x86-64-v4-vnni needs the CPU features avx512f, avx512vnni, which this CPU lacks"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "nope"}, "no target 'nope' in this bundle, which has x86-64-v2, aarch64"),
        (
            {"device": "gpu"},
            "unknown device 'gpu': expected auto, local-task, local-sync, cuda, hip, vulkan or metal",
        ),
        (
            {"device": "vulkan"},
            "no target of this bundle runs here: x86-64-v2 runs on local-task or local-sync, not on vulkan; "
            "aarch64 runs on local-task or local-sync, not on vulkan; build it with a target for this machine",
        ),
    ],
)
def test_errors(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(SharkpackError) as error:
        select(_manifest(V2, ARM), machine=NEW, **arguments)
    assert str(error.value) == message


def test_nothing_fits() -> None:
    with pytest.raises(SharkpackError) as error:
        select(_manifest(V4), machine=_machine(architecture="aarch64"))
    assert str(error.value) == (
        "no target of this bundle runs here: x86-64-v4-vnni is code for x86_64, and this CPU is aarch64; "
        "build it with a target for this machine"
    )


def test_a_driver_of_the_future_is_a_reason_not_a_crash() -> None:
    tpu = toy_target("tpu", driver="tpu")
    assert (
        "'tpu', which this version of sharkpack does not know"
        in select(_manifest(tpu, V2), machine=NEW).rejected[0].reason
    )


@pytest.mark.parametrize("installed", ["3.13.0", "3.13.0rc20261016", "3.13.1", "3.14.0", "4.0"])
def test_runtimes_that_are_new_enough(installed: str) -> None:
    assert select(_manifest(V2), machine=_machine("sse4.2", "popcnt", version=installed))


@pytest.mark.parametrize("installed", ["3.12.9", "2.0.0", "3.9.0"])
def test_older_runtimes_are_told_to_upgrade(installed: str) -> None:
    with pytest.raises(SharkpackError, match=f"needs iree-base-runtime 3.13.0 or newer, and {installed} is installed"):
        select(_manifest(V2), machine=_machine("sse4.2", "popcnt", version=installed))


def test_devices_of_this_machine() -> None:
    found = {device.name: device for device in devices()}
    assert found["local-task"].missing is None
    assert found["local-sync"].missing is None
    for name in ("cuda", "hip", "vulkan", "metal"):
        missing = found[name].missing
        assert missing is None or (missing and "\n" not in missing)


def test_code_that_this_cpu_cannot_run_is_never_loaded(toy_code: bytes, tmp_path: Path) -> None:
    path = ToyBundle(code=toy_code, targets=(toy_target("future", features=("avx9000",)),)).write(
        tmp_path / "toy.shark"
    )
    with pytest.raises(SharkpackError, match="future needs the CPU features avx9000, which this CPU lacks"):
        Engine.open(path)


def test_two_targets_over_one_weight_file_say_the_same(toy_code: bytes, tmp_path: Path) -> None:
    targets = (toy_target("base", priority=1), toy_target("better", priority=2))
    path = ToyBundle(code=toy_code, targets=targets).write(tmp_path / "toy.shark")
    with Bundle.open(path) as bundle:
        for asked, expected in ((None, "better"), ("base", "base")):
            with Engine.open(bundle, target=asked) as engine:
                result = engine.generate([5, 6], max_tokens=8).result()
            assert result.target == expected
            assert list(result.token_ids) == continuation([5, 6], 8)
