"""The one probe of this machine's CPU, for builds and for the runtime: architecture, LLVM's features, usable cores.

Knows Linux (/proc, /sys) and, elsewhere, the iree-cpuinfo tool of the runtime wheel; knows nothing of bundles.
"""

import functools
import importlib.util
import math
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sharkpack.formats.host.control_group import cpu_quota


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """`architecture` is "x86_64", "aarch64" or as platform.machine() says; `features` are LLVM's names."""

    architecture: str
    features: frozenset[str]
    physical_cores: int


_ARCHITECTURES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}

# Linux's name of an x86 flag -> LLVM's, where the rule in `_llvm_x86_name` does not give it.
_X86_NAMES = {
    "3dnowprefetch": "prfchw",
    "abm": "lzcnt",
    "bmi1": "bmi",
    "lahf_lm": "sahf",
    "lm": "64bit",
    "pclmulqdq": "pclmul",
    "pni": "sse3",
    "rdrand": "rdrnd",
    "sha_ni": "sha",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "tsxldtrk": "tsxldtrk",
}
# Features that LLVM names apart and every CPU with the first has.
_X86_IMPLIED = {"sse4.2": ("crc32",), "lm": ("64bit",), "fxsr": ("x87",), "avx512f": ("evex512",)}

# Bits of AT_HWCAP and AT_HWCAP2 (Linux, arch/arm64/include/uapi/asm/hwcap.h) -> LLVM's names.
_ARM_HWCAP = {
    0: "fp-armv8", 1: "neon", 3: "aes", 6: "sha2", 7: "crc", 8: "lse", 10: "fullfp16", 12: "rdm", 13: "jsconv",
    14: "complxnum", 15: "rcpc", 16: "ccpp", 17: "sha3", 19: "sm4", 20: "dotprod", 22: "sve", 23: "fp16fml",
    24: "dit", 25: "lse2", 26: "rcpc-immo", 27: "flagm", 28: "ssbs", 29: "sb", 30: "pauth",
}  # fmt: skip
_ARM_HWCAP2 = {
    0: "ccdp", 1: "sve2", 2: "sve2-aes", 4: "sve2-bitperm", 5: "sve2-sha3", 6: "sve2-sm4", 7: "altnzcv", 8: "fptoint",
    10: "f32mm", 11: "f64mm", 13: "i8mm", 14: "bf16", 16: "rand", 17: "bti", 18: "mte", 23: "sme", 37: "sme2",
}  # fmt: skip
_AT_HWCAP, _AT_HWCAP2 = 16, 26


@functools.cache
def host_cpu() -> Cpu:
    """The CPU that this process runs on; read once."""
    architecture = _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower())
    return Cpu(architecture=architecture, features=_host_features(architecture), physical_cores=_physical_cores())


def x86_features(flags: Iterable[str]) -> frozenset[str]:
    """LLVM's names for the words of a `flags` line of /proc/cpuinfo."""
    names = {_llvm_x86_name(flag) for flag in flags}
    return frozenset(names.union(*(implied for name, implied in _X86_IMPLIED.items() if name in names)))


def aarch64_features(hwcap: int, hwcap2: int) -> frozenset[str]:
    """LLVM's names for the bits that the kernel hands every process."""
    low = {name for bit, name in _ARM_HWCAP.items() if hwcap >> bit & 1}
    return frozenset(low | {name for bit, name in _ARM_HWCAP2.items() if hwcap2 >> bit & 1})


def _llvm_x86_name(flag: str) -> str:
    if flag in _X86_NAMES:
        return _X86_NAMES[flag]
    if flag.startswith("amx_"):
        return flag.replace("_", "-")
    return flag.replace("_", "")


def _host_features(architecture: str) -> frozenset[str]:
    try:
        if sys.platform == "linux" and architecture == "x86_64":
            return x86_features(_cpuinfo_flags(Path("/proc/cpuinfo").read_text()))
        if sys.platform == "linux" and architecture == "aarch64":
            # Not /proc/cpuinfo: under qemu-user that is the file of the other machine.
            vector = _auxiliary_vector(Path("/proc/self/auxv").read_bytes())
            return aarch64_features(vector.get(_AT_HWCAP, 0), vector.get(_AT_HWCAP2, 0))
    except OSError:
        pass
    return _features_by_tool()


def _cpuinfo_flags(text: str) -> list[str]:
    for line in text.splitlines():
        if line.startswith("flags"):
            return line.partition(":")[2].split()
    return []


def _auxiliary_vector(data: bytes) -> dict[int, int]:
    return dict(struct.iter_unpack("<QQ", data[: len(data) // 16 * 16]))


def _features_by_tool() -> frozenset[str]:
    """Reads the output of the wheel's iree-cpuinfo, one `name 0|1` a line; nothing where it cannot be run."""
    package = importlib.util.find_spec("iree._runtime_libs")
    folder = next(iter((package and package.submodule_search_locations) or ()), "")
    tool = Path(folder) / "iree-cpuinfo"
    try:
        output = subprocess.run([tool], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return frozenset()
    words = [line.split() for line in output.splitlines()]
    names = {line[0] for line in words if len(line) == 2 and line[1] == "1"}
    # The tool leaves out what compilers assume of every CPU with AVX2.
    haswell = ("popcnt", "cx16", "sahf", "bmi", "bmi2", "lzcnt", "movbe", "crc32", "xsave", "fxsr", "sse", "sse2")
    return frozenset(names.union(haswell) if "avx2" in names else names)


def _physical_cores() -> int:
    """Cores that this process may use: its affinity without hyper-threads, and no more than its container's quota."""
    logical = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_siblings(cpu) for cpu in logical}
    quota = cpu_quota()
    return max(1, len(cores) if quota is None else min(len(cores), math.ceil(quota)))


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return str(cpu)
