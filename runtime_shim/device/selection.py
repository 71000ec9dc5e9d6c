"""The drivers and CPUs of this machine, and the targets of a bundle that they run, with a reason for each that cannot.

Decides only: opening the device is program.py's. A target whose CPU features are missing is never chosen, because
the loader does not check and the first such instruction ends the process.
"""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sharkpack.formats.archive.manifest import Manifest, Requirements, TargetInfo
from sharkpack.formats.host.cpu import Cpu, host_cpu
from sharkpack.runtime_shim.device.requirements import DeviceFacts, parse_device_info, unmet
from sharkpack.runtime_shim.errors import BundleUnsupportedError, NoDeviceError, RequestError

# A manifest's driver -> the devices that serve it, the usual one first.
DEVICES_OF_DRIVER = {
    "local": ("local-task", "local-sync"),
    "cuda": ("cuda",),
    "hip": ("hip",),
    "vulkan": ("vulkan",),
    "metal": ("metal",),
}
_DESCRIPTIONS = {
    "local-task": "CPU, many threads",
    "local-sync": "CPU, one thread",
    "cuda": "NVIDIA GPU",
    "hip": "AMD GPU",
    "vulkan": "GPU through Vulkan",
    "metal": "Apple GPU",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One row of `sharkpack devices`; `missing` says why it cannot be used (None: it can)."""

    name: str
    driver: str
    description: str
    missing: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A target that was not taken, and why: the end of a sentence that begins with the target's name."""

    target_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The target to run, and its device. `rejected` holds the targets that cannot run here and those that came
    second."""

    target: TargetInfo
    device_uri: str
    rejected: tuple[Rejection, ...]


@functools.cache
def missing_driver(name: str) -> str | None:
    """Why the device called `name` cannot be opened here, or None. Local devices are always here."""
    if name.startswith("local-"):
        return None  # and creating one would fix its thread count for the whole process
    import iree.runtime as rt

    try:
        found = rt.get_driver(name).query_available_devices()
    except (RuntimeError, ValueError) as error:
        return _driver_reason(str(error))
    return None if found else "the driver finds no device"


def device_facts(uri: str) -> DeviceFacts:
    """Returns the driver's facts of the device at `uri`, as "cuda" or "cuda://1"; nothing where it does not say."""
    import iree.runtime as rt

    name, _, place = uri.partition("://")
    driver = rt.get_driver(name)
    try:
        devices = driver.query_available_devices()
        found = devices[int(place)] if place.isdecimal() and int(place) < len(devices) else devices[0]
        return parse_device_info(driver.dump_device_info(found["device_id"]))
    except (RuntimeError, ValueError, IndexError, KeyError):
        return DeviceFacts()


def runtime_version() -> str:
    """The version of the installed iree-base-runtime, as "3.13.0"."""
    import iree.runtime.version as version

    return str(version.VERSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts that selection reads; tests make their own."""

    cpu: Cpu = field(default_factory=host_cpu)
    runtime_version: str = field(default_factory=runtime_version)
    missing_driver: Callable[[str], str | None] = missing_driver
    device_facts: Callable[[str], DeviceFacts] = device_facts


def devices(machine: Machine | None = None) -> list[Device]:
    """Every device that sharkpack knows, present or not."""
    machine = machine or Machine()
    return [
        Device(name=name, driver=driver, description=_describe(name, machine), missing=machine.missing_driver(name))
        for driver, names in DEVICES_OF_DRIVER.items()
        for name in names
    ]


def select(
    manifest: Manifest, *, device: str = "auto", target: str | None = None, machine: Machine | None = None
) -> Selection:
    """The best target that this machine can run, by priority and then by order in the manifest.

    `device` ("auto", "local-task", "local-sync", "cuda" ...) and `target` (an id of the manifest) narrow the choice;
    the checks are the same. Raises SharkpackError that says, target by target, what is missing.
    """
    machine = machine or Machine()
    manifest.format.check_runnable()
    check_runtime_version(manifest.minimum_runtime, machine.runtime_version)
    _check_device_name(device)
    candidates = sorted(_named(manifest.targets, target), key=lambda each: -each.priority)
    verdicts = [(each, _serving_device(each, device, machine)) for each in candidates]
    fitting = [(each, verdict) for each, verdict in verdicts if not isinstance(verdict, Rejection)]
    rejected = [verdict for _, verdict in verdicts if isinstance(verdict, Rejection)]
    if not fitting:
        raise NoDeviceError(_nothing_fits(rejected, target))
    chosen, uri = fitting[0]
    rejected += [
        Rejection(target_id=each.id, reason=f"runs here, but {chosen.id} comes first") for each, _ in fitting[1:]
    ]
    return Selection(target=chosen, device_uri=uri, rejected=tuple(rejected))


def check_runtime_version(minimum: str, installed: str) -> None:
    """Refuse a bundle whose programs the installed runtime would not load."""
    if _release(installed) < _release(minimum):
        raise BundleUnsupportedError(
            f"this bundle needs iree-base-runtime {minimum} or newer, and {installed} is installed: "
            "run `pip install --upgrade iree-base-runtime`"
        )


def _release(version: str) -> tuple[int, ...]:
    numbers = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in numbers.group().split(".")) if numbers else ()


def _check_device_name(device: str) -> None:
    known = [name for names in DEVICES_OF_DRIVER.values() for name in names]
    if not isinstance(device, str) or device.partition("://")[0] not in ("auto", *known):
        raise RequestError(f"unknown device {device!r}: expected auto, {', '.join(known[:-1])} or {known[-1]}")


def _named(targets: Iterable[TargetInfo], name: str | None) -> list[TargetInfo]:
    found = [target for target in targets if name in (None, target.id)]
    if not found:
        raise RequestError(f"no target {name!r} in this bundle, which has {', '.join(each.id for each in targets)}")
    return found


def _serving_device(target: TargetInfo, device: str, machine: Machine) -> str | Rejection:
    """The URI of the device that would run the target, or the first reason against it."""

    def reject(reason: str) -> Rejection:
        return Rejection(target_id=target.id, reason=reason)

    names = DEVICES_OF_DRIVER.get(target.driver)
    if names is None:
        return reject(f"needs the driver {target.driver!r}, which this version of sharkpack does not know")
    if device != "auto" and device.partition("://")[0] not in names:
        return reject(f"runs on {' or '.join(names)}, not on {device}")
    missing = machine.missing_driver(names[0])
    if missing is not None:
        return reject(f"needs a {names[0]} device: {missing}")
    uri = names[0] if device == "auto" else device
    if target.driver == "local":
        if target.architecture != machine.cpu.architecture:
            return reject(f"is code for {target.architecture}, and this CPU is {machine.cpu.architecture}")
        facts = DeviceFacts(cpu_features=machine.cpu.features)
    else:
        facts = DeviceFacts() if target.requires == Requirements() else machine.device_facts(uri)
    reason = unmet(target.requires, facts)
    return uri if reason is None else reject(reason)


def _nothing_fits(rejected: list[Rejection], target: str | None) -> str:
    reasons = "; ".join(f"{each.target_id} {each.reason}" for each in rejected)
    if target is not None:
        return f"the target asked for cannot run here: {reasons}"
    return f"no target of this bundle runs here: {reasons}; build it with a target for this machine"


def _describe(name: str, machine: Machine) -> str:
    if name == "local-task":
        return f"CPU ({machine.cpu.architecture}), up to {machine.cpu.physical_cores} threads"
    return _DESCRIPTIONS[name]


def _driver_reason(message: str) -> str:
    """The words of an IREE status message, without its source line and its list of paths."""
    reason = message.split("\n", 1)[0].partition("; ")[2] or message.split("\n", 1)[0]
    return reason.strip().rstrip(":;")
