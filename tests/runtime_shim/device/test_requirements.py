"""Requirements of a target: each is held to what the device has, and what is not known counts as lacking."""

from dataclasses import replace

import pytest

from sharkpack.formats.archive.manifest import Requirements
from sharkpack.runtime_shim.device.requirements import DeviceFacts, parse_device_info, unmet

FACTS = DeviceFacts(
    cpu_features=frozenset({"avx2"}),
    api_version="12.4",
    architecture="sm_90",
    storage=frozenset({"8bit", "16bit"}),
    subgroup_operations=frozenset({"shuffle"}),
    subgroup_size=32,
    memory_bytes=8 << 30,
)


@pytest.mark.parametrize(
    "requires",
    [
        Requirements(),
        Requirements(cpu_features=("avx2",)),
        Requirements(api_version="12"),
        Requirements(api_version="12.4"),
        Requirements(api_version="9.9"),
        Requirements(architecture="sm_90"),
        Requirements(architecture="sm_80"),
        Requirements(storage=("8bit",), subgroup_operations=("shuffle",), subgroup_size=32),
        Requirements(memory_bytes=8 << 30),
    ],
)
def test_what_is_met(requires: Requirements) -> None:
    assert unmet(requires, FACTS) is None


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (
            Requirements(unknown={"cooperative_matrix": True}),
            "has the requirement 'cooperative_matrix', which this version of sharkpack does not know",
        ),
        (Requirements(cpu_features=("avx2", "amx-tile")), "needs the CPU features amx-tile, which this CPU lacks"),
        (Requirements(api_version="12.10"), "needs version 12.10 of the driver's API, and it has 12.4"),
        (Requirements(architecture="sm_100"), "needs a GPU of architecture sm_100, and this is sm_90"),
        (Requirements(architecture="gfx942"), "needs a GPU of architecture gfx942, and this is sm_90"),
        (Requirements(storage=("8bit", "64bit")), "needs storage of 64bit, which the device lacks"),
        (Requirements(subgroup_operations=("vote",)), "needs subgroup operations vote, which the device lacks"),
        (Requirements(subgroup_size=64), "needs subgroups of 64, and the device has 32"),
        (Requirements(memory_bytes=9 << 30), "needs 9.0 GiB of device memory, and there are 8.0"),
    ],
)
def test_what_is_not_is_named(requires: Requirements, reason: str) -> None:
    assert unmet(requires, FACTS) == reason


@pytest.mark.parametrize(
    ("requires", "words"),
    [
        (Requirements(cpu_features=("avx2",)), "what the device has is not known"),
        (Requirements(api_version="1.0"), "it has one unknown"),
        (Requirements(architecture="sm_80"), "this is one unknown"),
        (Requirements(storage=("8bit",)), "what the device has is not known"),
        (Requirements(subgroup_size=32), "the device has others"),
        (Requirements(memory_bytes=1), "there are a number unknown"),
    ],
)
def test_what_cannot_be_found_out_is_not_met(requires: Requirements, words: str) -> None:
    reason = unmet(requires, DeviceFacts())
    assert reason is not None
    assert reason.endswith(words)


def test_what_the_cuda_driver_prints() -> None:
    printed = (
        "\n- gpu-compute-capability: 9.0\n- gpu-arch-name: sm_90\n\n- launch-max-block-dims: (1024, 1024, 64)\n"
        "- memory-total-global-memory-size: 143771 MB\n- driver-max-cuda-version: 12.8\n"
    )
    facts = parse_device_info(printed)
    assert (facts.architecture, facts.api_version, facts.memory_bytes) == ("sm_90", "12.8", 143771 << 20)
    assert facts.subgroup_size == 32
    assert parse_device_info(printed.replace("- gpu-arch-name: sm_90\n", "")).architecture == "sm_90"


def test_what_the_hip_driver_prints() -> None:
    facts = parse_device_info(
        "\n- gpu-compute-capability: 9.4\n- gpu-arch-name: gfx942:sramecc+:xnack-\n- gpu-warp-size: 64\n"
    )
    assert (facts.architecture, facts.subgroup_size, facts.memory_bytes) == ("gfx942", 64, None)


def test_a_driver_that_prints_nothing_says_nothing() -> None:
    assert parse_device_info("") == DeviceFacts()


def test_a_known_requirement_is_checked_beside_an_unknown_one() -> None:
    both = replace(Requirements(cpu_features=("amx-tile",)), unknown={"new": 1})
    assert "'new'" in str(unmet(both, FACTS))
