"""`sharkpack devices`: the machine's list, and the verdict on a bundle's targets."""

import json
from pathlib import Path

from tests.cli.conftest import Sharkpack
from tests.runtime_shim.toy_bundle import ToyBundle, toy_target


def test_list(sharkpack: Sharkpack) -> None:
    outcome = sharkpack("devices")
    assert outcome.status == 0
    assert "local-task" in outcome.out
    assert "why not" in outcome.out


def test_json(sharkpack: Sharkpack) -> None:
    report = json.loads(sharkpack("devices", "--json").out)
    assert list(report) == ["runtime", "cpu", "devices"]
    local = next(device for device in report["devices"] if device["name"] == "local-task")
    assert local["missing"] is None


def test_targets_of_a_bundle(sharkpack: Sharkpack, toy_code: bytes, tmp_path: Path) -> None:
    targets = (toy_target("plain"), toy_target("better", priority=20), toy_target("future", features=("warp-drive",)))
    path = ToyBundle(code=toy_code, targets=targets).write(tmp_path / "three.shark")
    rows = {row["id"]: row for row in json.loads(sharkpack("devices", path, "--json").out)["targets"]}
    assert rows["better"]["device"] == "local-task"
    assert "better comes first" in rows["plain"]["rejected"]
    assert "warp-drive" in rows["future"]["rejected"]
    assert "warp-drive" in sharkpack("devices", path).out
