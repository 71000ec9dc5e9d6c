"""A torch program, and what an export of it is built to: the same code, the same weights, the same tokens."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sharkpack.cli.main import main
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim import Engine
from tests.bundler.sources.program.programs import shuffled
from tests.end_to_end.command_line import build
from tests.end_to_end.stock_tools import run_script

FACTORY = "from tests.bundler.sources.program.programs import shuffled, unrolled\n"
TOKENS = [3, 250, 7, 7, 0, 99]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("programs") / "program.py"
    path.write_text(FACTORY)
    return f"{path}:shuffled"


@pytest.fixture(scope="module")
def bundle(source: str) -> Path:
    assert build(Path(source), "--batch-sizes", "1") == 0
    return Path(source).with_name("program.shark")


@pytest.fixture(scope="module")
def exported(source: str) -> Path:
    out = Path(source).with_name("out")
    assert main(["export", source, "-o", str(out), "--quiet", "--batch-sizes", "1"]) == 0
    return out


def test_parameters_of_several_types(bundle: Path) -> None:
    model = shuffled().model
    with torch.no_grad():
        rows, _ = model.hidden(torch.tensor([TOKENS]), *torch.zeros(4, 1))
        expected = model.head(rows).numpy()
    with Engine.open(bundle) as engine:
        np.testing.assert_allclose(engine.all_logits(TOKENS), expected, rtol=1e-4, atol=1e-5)


def test_an_export_is_built_to_the_same_program(bundle: Path, exported: Path) -> None:
    assert build(exported / "program.mlir") == 0
    with Archive.open(bundle) as first, Archive.open(exported / "program.shark") as second:
        assert first.manifest.signature == second.manifest.signature
        assert first.manifest.model == second.manifest.model
        assert first.manifest.tokenizer == second.manifest.tokenizer
        assert [each.path for each in first.manifest.members] == [each.path for each in second.manifest.members]
        for member in first.manifest.members:
            assert first.read(member.path) == second.read(member.path), member.path
    with Engine.open(bundle) as one, Engine.open(exported / "program.shark") as other:
        tokens = one.generate("The", max_tokens=12, raw=True).result().token_ids
        assert other.generate("The", max_tokens=12, raw=True).result().token_ids == tokens


def test_its_commands_compile_and_run_it(exported: Path) -> None:
    (module,) = exported.glob("*.vmfb")
    ours = module.read_bytes()
    module.unlink()
    assert run_script(exported / "commands.sh").splitlines() == ["EXEC @prefill_bs1", "EXEC @decode_bs1"]
    assert module.read_bytes() == ours


def test_reference(source: str, bundle: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", source, "The", "--raw", "--max-tokens", "12", "--reference"]) == 0
    expected = capfd.readouterr().out
    assert main(["run", str(bundle), "The", "--raw", "--max-tokens", "12"]) == 0
    assert capfd.readouterr().out == expected


def test_a_program_that_cannot_be_traced(source: str, capfd: pytest.CaptureFixture[str]) -> None:
    """It runs, for as many tokens as there happen to be."""
    assert main(["build", source.replace(":shuffled", ":unrolled"), "-o", f"{source}.shark", "--batch-sizes", "1"]) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("error: program 'unrolled' runs but cannot be traced: ")
    assert error.endswith("are symbols there: let no loop, and no condition, depend on them")
    assert not Path(f"{source}.shark").exists()
