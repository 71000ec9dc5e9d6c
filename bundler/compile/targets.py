"""The machines a program can be compiled for: compiler flags, lowering, and what the device must have. Data only."""

from dataclasses import dataclass, replace

from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.kernels.isa import AVX2, AVX512, AVX512_VNNI, AVX_VNNI, DOTPROD, I8MM, NEON, SSSE3, Isa
from sharkpack.templates.lowering.cpu import Cpu
from sharkpack.templates.lowering.generic import Generic
from sharkpack.templates.lowering.lowering import Activations, Lowering

HOST = "host"
"""Stands for the best of TARGETS that the building machine itself can run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One machine to compile for.

    driver: the HAL driver that runs the module. architecture, cpu_features: what the device must have, in LLVM's
    names. priority: of several targets that a machine can run, the highest is taken. lowering: how it
    computes operators, and in which precision.
    """

    id: str
    driver: str
    architecture: str
    cpu_features: tuple[str, ...]
    priority: int
    lowering: Lowering
    flags: tuple[str, ...]


_LOCAL = ("--iree-hal-target-device=local", "--iree-hal-local-target-device-backends=llvm-cpu")
_V2 = ("cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
_V3 = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", *_V2)
_V4 = ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl", *_V3)


def _cpu(
    id: str,
    architecture: str,
    cpu: str,
    features: tuple[str, ...],
    priority: int,
    lowering: Lowering,
    extra: str = "",
) -> Target:
    flags = [*_LOCAL, f"--iree-llvmcpu-target-triple={architecture}-unknown-linux-gnu"]
    flags.append(f"--iree-llvmcpu-target-cpu={cpu}")
    if extra:
        flags.append(f"--iree-llvmcpu-target-cpu-features={extra}")
    return Target(
        id=id,
        driver="local",
        architecture=architecture,
        cpu_features=tuple(sorted(features)),
        priority=priority,
        lowering=lowering,
        flags=tuple(flags),
    )


def _x86(id: str, cpu: str, features: tuple[str, ...], priority: int, isa: Isa, extra: str = "") -> Target:
    return _cpu(id, "x86_64", cpu, features, priority, Cpu(isa=isa), extra)


def _arm(id: str, features: tuple[str, ...], priority: int, isa: Isa) -> Target:
    extra = ",".join(f"+{name}" for name in features)
    return _cpu(id, "aarch64", "generic", ("neon", *features), priority, Cpu(isa=isa), extra)


TARGETS = {
    target.id: target
    for target in (
        _x86("x86-64-v2", "x86-64-v2", _V2, 10, SSSE3),
        _x86("x86-64-v3", "x86-64-v3", _V3, 20, AVX2),
        _x86("x86-64-v3-vnni", "x86-64-v3", (*_V3, "avxvnni"), 25, AVX_VNNI, "+avxvnni"),
        # LLVM holds these CPUs to 256-bit vectors unless told: the kernels are written for 512.
        _x86("x86-64-v4", "x86-64-v4", _V4, 30, AVX512, "-prefer-256-bit"),
        _x86("x86-64-v4-vnni", "x86-64-v4", (*_V4, "avx512vnni"), 40, AVX512_VNNI, "+avx512vnni,-prefer-256-bit"),
        _arm("aarch64", (), 10, NEON),
        _arm("aarch64-dotprod", ("dotprod",), 20, DOTPROD),
        _arm("aarch64-i8mm", ("dotprod", "i8mm"), 30, I8MM),
        _cpu("generic-x86-64", "x86_64", "x86-64-v2", _V2, 1, Generic()),
        _cpu("generic-aarch64", "aarch64", "generic", ("neon",), 1, Generic()),
    )
}


def choose_targets(
    names: tuple[str, ...],
    host_architecture: str,
    host_features: frozenset[str],
    activations: Activations | None = None,
) -> tuple[Target, ...]:
    """The targets that a user named, `host` resolved, without repeats; activations: None is each target's own.

    Raises SharkpackError for an unknown name, and for activations that a target has not.
    """
    found: dict[str, Target] = {}
    for name in names or (HOST,):
        target = best_of_host(host_architecture, host_features) if name == HOST else TARGETS.get(name)
        if target is None:
            raise SharkpackError(f"unknown target '{name}'; known: {HOST}, {', '.join(TARGETS)}")
        if activations is not None:
            target = replace(target, lowering=target.lowering.with_activations(activations))
        found[target.id] = target
    return tuple(found.values())


def best_of_host(architecture: str, features: frozenset[str]) -> Target:
    """The target of highest priority that a CPU with these features runs."""
    fitting = [t for t in TARGETS.values() if t.architecture == architecture and features.issuperset(t.cpu_features)]
    if not fitting:
        raise SharkpackError(
            f"no target fits this machine ({architecture}); name the one that will run the bundle with --target: "
            + ", ".join(TARGETS)
        )
    return max(fitting, key=lambda target: target.priority)
