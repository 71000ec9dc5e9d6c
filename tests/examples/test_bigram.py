"""The example that is written in MLIR by hand: built from its three files, and compared with its table."""

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sharkpack.cli.main import main
from sharkpack.runtime_shim import Engine
from sharkpack.runtime_shim.tools.perplexity import evaluate, plan_evaluation
from tests.end_to_end.command_line import ROOT, build
from tests.end_to_end.stock_tools import run_script

TEXT = ROOT / "docs" / "format.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bigram") / "bigram"
    shutil.copytree(ROOT / "examples" / "bigram", folder, ignore=shutil.ignore_patterns("*.irpa", "*.shark"))
    runpy.run_path(str(folder / "parameters.py"))["main"](TEXT, folder / "bigram.irpa")
    assert build(folder / "bigram.mlir") == 0
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    with Engine.open(folder / "bigram.shark", prefill_chunk=50) as engine:
        yield engine


@pytest.fixture(scope="module")
def table(folder: Path) -> np.ndarray:
    found: np.ndarray = runpy.run_path(str(folder / "parameters.py"))["table"](TEXT.read_bytes())
    return found


def test_logits_are_rows_of_the_table(engine: Engine, table: np.ndarray) -> None:
    text = "A member whose name ends in .zst is one Zstandard frame, stored like any other."
    assert np.array_equal(engine.all_logits(list(text.encode())), table[list(text.encode())])
    outcome = engine.generate("The", max_tokens=10, raw=True).result()
    tokens = [ord("e")]
    for _ in range(10):
        tokens.append(int(table[tokens[-1]].argmax()))
    assert list(outcome.token_ids) == tokens[1:]


def test_perplexity(engine: Engine, table: np.ndarray) -> None:
    data = TEXT.read_bytes()[:1000].decode().encode()
    *_, found = evaluate(engine, plan_evaluation(engine, data.decode(), context=None, stride=None))
    expected = -table[list(data[:-1]), list(data[1:])].astype(np.float64).mean()
    assert found.perplexity == pytest.approx(np.exp(expected), rel=1e-5)


def test_its_calls_are_made_again_by_stock_tools(folder: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    assert main(["dump-inputs", str(folder / "bigram.shark"), "--prompt", "The", "--raw", "-o", str(calls)]) == 0
    assert run_script(calls / "commands.sh").count("[SUCCESS]") == 3


def test_an_export_of_it_is_built_to_the_same(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["export", str(folder / "bigram.mlir"), "-o", str(out), "--quiet"]) == 0
    assert (out / "program.mlir").read_bytes() == (folder / "bigram.mlir").read_bytes()
    assert (out / "parameters.irpa").read_bytes() == (folder / "bigram.irpa").read_bytes()
    assert build(out / "program.mlir") == 0
    assert run_script(out / "commands.sh").splitlines() == ["EXEC @prefill_bs1", "EXEC @decode_bs1"]
    with Engine.open(out / "program.shark") as engine:
        assert engine.generate("The", max_tokens=3, raw=True).result().text


@pytest.mark.parametrize("name", ["bigram.irpa", "bigram.json", "bigram.mlir"])
def test_no_file_of_it_is_written_over(folder: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = (folder / name).read_bytes()
    assert main(["build", str(folder / "bigram.mlir"), "-o", str(folder / name), "--force"]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"error: output {folder / name} is ")
    assert "source" in error
    assert (folder / name).read_bytes() == before


def test_torch_does_not_run_it(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(folder / "bigram.mlir"), "The", "--reference"]) == 2
    assert "torch cannot run MLIR; build it, and run the bundle" in capfd.readouterr().err
