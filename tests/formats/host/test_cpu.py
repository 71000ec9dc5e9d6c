"""CPU features: Linux's names become LLVM's, and this machine's agree with IREE's own tool."""

import os
import subprocess
from pathlib import Path

import iree.runtime as rt
import pytest

from sharkpack.formats.host.cpu import aarch64_features, host_cpu, x86_features


def test_x86_names() -> None:
    flags = "lm pni ssse3 sse4_1 sse4_2 abm bmi1 bmi2 avx2 avx512f avx512_vnni avx512_vbmi2 avx_vnni amx_int8 lahf_lm"
    expected = "64bit sse3 ssse3 sse4.1 sse4.2 lzcnt bmi bmi2 avx2 avx512f avx512vnni avx512vbmi2 avxvnni amx-int8 sahf"
    assert set(expected.split()) <= x86_features(flags.split())


def test_x86_features_that_others_imply() -> None:
    assert x86_features(["sse4_2"]) == {"sse4.2", "crc32"}
    assert x86_features([]) == frozenset()


def test_aarch64_bits() -> None:
    hwcap = 1 << 0 | 1 << 1 | 1 << 10 | 1 << 20
    assert aarch64_features(hwcap, 1 << 13) == {"fp-armv8", "neon", "fullfp16", "dotprod", "i8mm"}
    assert aarch64_features(0, 0) == frozenset()


def test_this_machine_agrees_with_the_tool_of_the_runtime() -> None:
    tool = Path(rt._binding.__file__).parent / "iree-cpuinfo"
    lines = subprocess.run([tool], capture_output=True, text=True, check=True).stdout.splitlines()
    said = dict(line.split() for line in lines)
    if not said:
        pytest.skip("iree-cpuinfo says nothing on this machine")
    found = host_cpu().features
    assert {name for name, value in said.items() if value == "1"} <= found
    assert found.isdisjoint(name for name, value in said.items() if value == "0")


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the affinity is Linux's to ask")
def test_cores_are_no_more_than_this_process_may_use() -> None:
    assert 1 <= host_cpu().physical_cores <= len(os.sched_getaffinity(0))
