"""Checks a target's requirements against a device. What cannot be found out about a device counts as lacking."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sharkpack.formats.archive.manifest import Requirements

_GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFacts:
    """Properties of a device, named as in `Requirements`; None is not known."""

    cpu_features: frozenset[str] | None = None
    api_version: str | None = None
    architecture: str | None = None
    storage: frozenset[str] | None = None
    subgroup_operations: frozenset[str] | None = None
    subgroup_size: int | None = None
    memory_bytes: int | None = None


def unmet(requires: Requirements, facts: DeviceFacts) -> str | None:
    """The first requirement that the device does not meet, as the end of a sentence about the target; None if none."""
    for name in requires.unknown:
        return f"has the requirement {name!r}, which this version of sharkpack does not know"
    lists = {
        "the CPU features": (requires.cpu_features, facts.cpu_features),
        "storage of": (requires.storage, facts.storage),
        "subgroup operations": (requires.subgroup_operations, facts.subgroup_operations),
    }
    for what, (wanted, found) in lists.items():
        reason = _lacking(what, wanted, found)
        if reason is not None:
            return reason
    for check in (_api_version, _architecture, _subgroup_size, _memory):
        reason = check(requires, facts)
        if reason is not None:
            return reason
    return None


def parse_device_info(text: str) -> DeviceFacts:
    """Read what IREE's CUDA and HIP drivers print of a device. Code of either stores any type, and shuffles."""
    found = dict(re.findall(r"^- ([a-z0-9-]+): (.*)$", text, re.MULTILINE))
    capability, memory = found.get("gpu-compute-capability"), found.get("memory-total-global-memory-size", "")
    architecture = found.get("gpu-arch-name", "").partition(":")[0] or None
    if architecture is None and capability is not None:
        architecture = f"sm_{capability.replace('.', '')}"
    megabytes = re.fullmatch(r"(\d+) MB", memory)
    warp = found.get("gpu-warp-size", "32")
    known = architecture is not None
    return DeviceFacts(
        api_version=found.get("driver-max-cuda-version"),
        architecture=architecture,
        storage=frozenset({"8bit", "16bit", "64bit"}) if known else None,
        subgroup_operations=frozenset({"arithmetic", "ballot", "basic", "shuffle", "vote"}) if known else None,
        subgroup_size=int(warp) if known and warp.isdecimal() else None,
        memory_bytes=int(megabytes[1]) << 20 if megabytes else None,
    )


def _lacking(what: str, wanted: Iterable[str], found: frozenset[str] | None) -> str | None:
    lacking = [each for each in wanted if found is None or each not in found]
    if not lacking:
        return None
    names = ", ".join(lacking)
    if found is None:
        return f"needs {what} {names}, and what the device has is not known"
    return f"needs {what} {names}, which {'this CPU' if 'CPU' in what else 'the device'} lacks"


def _api_version(requires: Requirements, facts: DeviceFacts) -> str | None:
    if requires.api_version is None or _at_least(facts.api_version, requires.api_version):
        return None
    return f"needs version {requires.api_version} of the driver's API, and it has {facts.api_version or 'one unknown'}"


def _architecture(requires: Requirements, facts: DeviceFacts) -> str | None:
    """CUDA's are numbered: code for one runs on later ones. Of others, each is its own."""
    wanted, found = requires.architecture, facts.architecture
    if wanted is None or wanted == found:
        return None
    numbers = [re.fullmatch(r"sm_(\d{1,4})", name or "") for name in (wanted, found)]
    if numbers[0] and numbers[1] and int(numbers[1][1]) >= int(numbers[0][1]):
        return None
    return f"needs a GPU of architecture {wanted}, and this is {found or 'one unknown'}"


def _subgroup_size(requires: Requirements, facts: DeviceFacts) -> str | None:
    if requires.subgroup_size in (None, facts.subgroup_size):
        return None
    return f"needs subgroups of {requires.subgroup_size}, and the device has {facts.subgroup_size or 'others'}"


def _memory(requires: Requirements, facts: DeviceFacts) -> str | None:
    wanted, found = requires.memory_bytes, facts.memory_bytes
    if wanted is None or (found is not None and found >= wanted):
        return None
    has = "a number unknown" if found is None else f"{found / _GIB:.1f}"
    return f"needs {wanted / _GIB:.1f} GiB of device memory, and there are {has}"


def _at_least(found: str | None, wanted: str) -> bool:
    """Returns whether a dotted version is not older than another."""
    if found is None:
        return False
    return tuple(map(int, re.findall(r"\d+", found))) >= tuple(map(int, re.findall(r"\d+", wanted)))
