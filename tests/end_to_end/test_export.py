"""`sharkpack export`: files that IREE's own tools compile and run, to what the bundle computes."""

import json
from pathlib import Path

import numpy as np
import pytest

from sharkpack.cli.main import main
from sharkpack.formats.archive.reader import Archive
from sharkpack.formats.archive.signature import Signature
from sharkpack.formats.model_files.irpa import read_irpa_index
from sharkpack.runtime_shim import Engine
from tests.end_to_end.command_line import build
from tests.end_to_end.stock_tools import run_script
from tests.tiny_models import write_tiny_gguf

OPTIONS = ("--batch-sizes", "1", "--context", "64", "--activations", "float32", "--cache-dtype", "f32")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("export") / "tiny.gguf", quantization="F32", layers=1)


@pytest.fixture(scope="module")
def exported(tiny: Path) -> Path:
    folder = tiny.with_name("exported")
    assert main(["export", str(tiny), "-o", str(folder), "--quiet", *OPTIONS]) == 0
    return folder


@pytest.fixture(scope="module")
def bundle(tiny: Path, exported: Path) -> Path:
    """Built after the export, of the same, so that it finds the code."""
    assert build(tiny, *OPTIONS) == 0
    return tiny.with_suffix(".shark")


def test_the_files_are_those_of_the_bundle(exported: Path, bundle: Path) -> None:
    config = json.loads((exported / "config.json").read_text())
    with Archive.open(bundle) as archive:
        manifest = archive.manifest.to_dict()
        for key in ("model", "source", "producer", "minimum_runtime", "signature"):
            assert config[key] == manifest[key]
        (target,), (parameters,) = config["targets"], config["parameters"]
        assert (exported / target["module"]).read_bytes() == archive.view(archive.manifest.targets[0].path)
        assert (exported / parameters["file"]).read_bytes() == archive.view(archive.manifest.parameters[0].path)
        assert (exported / "tokenizer.json").read_bytes() == archive.read(archive.manifest.tokenizer.path)
    with memoryview((exported / parameters["file"]).read_bytes()) as view:
        named = set(read_irpa_index(view))
    program = (exported / target["program"]).read_text()
    assert all(f'"{parameters["scope"]}"::"{name}"' in program for name in named)


def test_the_commands_compile_and_run_it(exported: Path, bundle: Path) -> None:
    (module,) = exported.glob("*.vmfb")
    ours = module.read_bytes()
    module.unlink()
    assert run_script(exported / "commands.sh").splitlines() == ["EXEC @prefill_bs1", "EXEC @decode_bs1"]
    assert module.read_bytes() == ours
    tokens = [int(token) for token in np.load(exported / "inputs" / "prefill_tokens.npy")[0]]
    (next_token,) = np.load(exported / "inputs" / "decode_tokens.npy")[0]
    with Engine.open(bundle) as engine:
        expected = [engine.logits(tokens), engine.logits([*tokens, int(next_token)])]
    for step, logits in zip(("prefill", "decode"), expected, strict=True):
        found = np.load(exported / f"logits_after_{step}.npy")
        assert found.shape == (1, len(logits))
        assert float(np.abs(found[0] - logits).max()) < 1e-5 * float(np.abs(logits).max())
    assert np.load(exported / "hidden_after_prefill.npy").shape == (len(tokens), 128)


def test_the_entry_points_are_those_of_the_program(exported: Path) -> None:
    """The arguments that config.json lists are those that the module was compiled with."""
    config = json.loads((exported / "config.json").read_text())
    text = (exported / config["targets"][0]["program"]).read_text()
    signature = Signature.from_values(config["signature"])
    assert len(signature.entry_points) == 3
    for entry in signature.entry_points:
        head = text[text.index(f"func.func @{entry.function}(") :].partition("\n")[0]
        for part, side in zip(head.split(") -> "), (entry.inputs, entry.outputs), strict=True):
            arguments = [signature.typed(each) for each in side]
            types = [f"[{','.join(map(_size, each.shape or ()))}],{_element(each.dtype or '')}" for each in arguments]
            assert [piece.split(">")[0] for piece in part.split("tensor<")[1:]] == types


def _size(size: int | str) -> str:
    return "128" if size == "D" else str(size) if isinstance(size, int) else "?"


def _element(dtype: str) -> str:
    return {"i64": "si64"}.get(dtype, dtype)


def test_report(tiny: Path, tmp_path: Path, exported: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tiny), "-o", str(tmp_path / "out"), "--json", *OPTIONS]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["path"] == str(tmp_path / "out")
    assert set(report["files"]) >= {"commands.sh", "config.json", "parameters.irpa", "tokenizer.json"}
    assert all((tmp_path / "out" / name).stat().st_size == size for name, size in report["files"].items())
    assert "plan" in report["step_seconds"]


def test_nothing_is_written_over_or_left_behind(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    refused = write_tiny_gguf(tmp_path / "tiny.gguf", metadata={"llama.mystery": 1.0})
    before = sorted(tmp_path.rglob("*"))
    messages = {
        folder: f"output {folder} is a folder that is not empty; name a new folder with -o",
        folder / "mine": f"output {folder / 'mine'} is a file; name a new folder with -o",
        folder / "a" / "b": f"folder {folder / 'a'} does not exist; make it first, or choose another with -o",
        folder / "new": f"{refused}: hyperparameter 'llama.mystery' = 1.0 is not known to the llama recipe",
    }
    for output, message in messages.items():
        assert main(["export", str(refused), "-o", str(output)]) == 2
        assert capfd.readouterr() == ("", f"error: {message}\n")
        assert sorted(tmp_path.rglob("*")) == before
