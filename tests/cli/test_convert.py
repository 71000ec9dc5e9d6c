"""`sharkpack convert`, for real on a tiny model."""

import json
from pathlib import Path

from sharkpack.formats.gguf import GGUFFile
from tests.cli.conftest import Sharkpack
from tests.tiny_models import write_tiny_gguf


def test_a_model_is_quantised_into_a_file(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, output = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "out.gguf"
    outcome = sharkpack("convert", source, "-o", output, "--quantize", "q8_0", "--report", tmp_path / "report.tsv")
    assert (outcome.status, outcome.err) == (0, "")
    first, _, last = outcome.out.splitlines()
    assert first.startswith(f"{output}  ")
    assert " kB, 20 tensors, in " in first
    assert last == "Q8_0: 15 tensors changed, relative error 0.54% over all"
    assert len((tmp_path / "report.tsv").read_text().splitlines()) == 16
    with GGUFFile.open(output) as file:
        assert file.tensors["token_embd.weight"].type_name == "Q8_0"


def test_json(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, output = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q8_0"), tmp_path / "out.irpa"
    report = json.loads(sharkpack("convert", source, "-o", output, "--json").out)
    assert list(report.pop("step_seconds")) == ["plan", "weights"]
    assert report == {
        "path": str(output),
        "size": output.stat().st_size,
        "source_size": source.stat().st_size,
        "tensors": 20,
        "quantization": None,
    }


def test_bad_input(sharkpack: Sharkpack, tmp_path: Path) -> None:
    absent = tmp_path / "absent.gguf"
    assert sharkpack("convert", absent, "-o", tmp_path / "out.gguf").error.startswith(f"{absent}: no such file")
    assert sharkpack("convert", absent).error.startswith("the following arguments are required: -o/--output")
    assert sharkpack("convert", absent, "-o", "x.gguf", "--pure").error == (
        "--pure goes with --quantize TYPE, which is not given"
    )
