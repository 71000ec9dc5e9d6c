"""Limits of control groups, version 1 and 2, of this group and of those above."""

from pathlib import Path

import pytest

from sharkpack.formats.host import control_group, cpu
from sharkpack.formats.host.control_group import cpu_quota, memory_limit
from sharkpack.runtime_shim.device import memory


class Groups:
    """A made-up /sys/fs/cgroup."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root, self._membership = folder / "cgroup", folder / "membership"
        self._root.mkdir()
        monkeypatch.setattr(control_group, "ROOT", self._root)
        monkeypatch.setattr(control_group, "MEMBERSHIP", self._membership)

    def enter(self, *lines: str) -> None:
        self._membership.write_text("".join(f"{line}\n" for line in lines))

    def set(self, group: str, name: str, value: str) -> None:
        (self._root / group).mkdir(parents=True, exist_ok=True)
        (self._root / group / name).write_text(value + "\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    return Groups(tmp_path, monkeypatch)


def test_no_control_groups(groups: Groups) -> None:
    assert (cpu_quota(), memory_limit()) == (None, None)
    groups.enter("0::/somewhere/else")
    assert (cpu_quota(), memory_limit()) == (None, None)


def test_version_two_takes_the_least_of_the_groups_above(groups: Groups) -> None:
    groups.enter("0::/a/b")
    groups.set("a/b", "cpu.max", "max 100000")
    groups.set("a/b", "memory.max", "max")
    assert (cpu_quota(), memory_limit()) == (None, None)
    groups.set("a", "cpu.max", "150000 100000")
    groups.set("a", "memory.max", "5000000")
    assert (cpu_quota(), memory_limit()) == (1.5, 5000000)
    groups.set("a/b", "cpu.max", "50000 100000")
    groups.set(".", "memory.max", "4000000")
    assert (cpu_quota(), memory_limit()) == (0.5, 4000000)


def test_version_one_has_a_tree_a_controller(groups: Groups) -> None:
    groups.enter("4:memory:/box", "2:cpuacct,cpu:/host/name", "0::/")
    groups.set("memory/box", "memory.limit_in_bytes", "7000000")
    groups.set("cpu", "cpu.cfs_quota_us", "-1")
    groups.set("cpu", "cpu.cfs_period_us", "100000")
    assert (cpu_quota(), memory_limit()) == (None, 7000000)
    groups.set("cpu", "cpu.cfs_quota_us", "300000")
    assert cpu_quota() == 3


def test_threads_and_cache_follow(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(cpu, "_siblings", lambda number: str(number // 2))
    assert cpu._physical_cores() == 3
    groups.enter("0::/")
    for quota, cores in (("150000", 2), ("20000", 1), ("900000", 3)):
        groups.set(".", "cpu.max", f"{quota} 100000")
        assert cpu._physical_cores() == cores
    groups.set(".", "memory.max", "1234567")
    assert memory.usable_memory() == 1234567
