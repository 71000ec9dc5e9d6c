"""`sharkpack convert`, for real on a tiny model."""

import json
from pathlib import Path

from sharkpack.formats.model_files.gguf import GGUFFile
from tests.cli.conftest import Sharkpack
from tests.tiny_models import write_tiny_gguf


def test_a_model_is_quantised_into_a_file(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, output = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "out.gguf"
    options = ("--quantize", "q8_0", "--report", tmp_path / "report.tsv")
    outcome = sharkpack("convert", source, "-o", output, *options)
    assert (outcome.status, outcome.err) == (0, "")
    first, _, last = outcome.out.splitlines()
    assert first.startswith(f"{output}  ")
    assert " kB, 20 tensors, in " in first
    assert last == "Q8_0: 15 tensors changed, relative error 0.51% over all"
    assert len((tmp_path / "report.tsv").read_text().splitlines()) == 16
    with GGUFFile.open(output) as file:
        assert file.tensors["token_embd.weight"].type_name == "Q8_0"
    made = output.read_bytes()
    assert sharkpack("convert", source, "-o", output, *options, "--force").out.splitlines()[-1] == last
    assert output.read_bytes() == made
    unweighed = sharkpack("convert", source, "-o", output, *options, "--force", "--imatrix", "none").out
    assert unweighed.splitlines()[-1] == "Q8_0: 15 tensors changed, relative error 0.54% over all"


def test_json(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, output = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "Q8_0"), tmp_path / "out.irpa"
    report = json.loads(sharkpack("convert", source, "-o", output, "--json").out)
    assert list(report.pop("step_seconds")) == ["plan", "weights"]
    assert report == {
        "path": str(output),
        "size": output.stat().st_size,
        "source_size": source.stat().st_size,
        "tensors": 20,
        "warnings": [],
        "quantization": None,
    }


def test_bad_input(sharkpack: Sharkpack, tmp_path: Path) -> None:
    absent = tmp_path / "absent.gguf"
    assert sharkpack("convert", absent, "-o", tmp_path / "out.gguf").error.startswith(f"{absent}: no such file")
    assert sharkpack("convert", absent).error.startswith("the following arguments are required: -o/--output")
    assert sharkpack("convert", absent, "-o", "x.gguf", "--pure").error == (
        "--pure goes with --quantize TYPE, which is not given"
    )


def test_what_quantising_does_to_a_text_is_measured(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, text = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 3, "utf-8")
    options = ("--text", text, "--pure", "--force")
    report = json.loads(
        sharkpack("convert", source, "-o", tmp_path / "q4.gguf", "--quantize", "q4_0", *options, "--json").out
    )
    change = report["quantization"]["perplexity"]
    assert change["window"] == 512
    assert change["tokens"] > 50
    assert 0.0001 < abs(change["after"] / change["before"] - 1) < 0.5
    last = sharkpack("convert", source, "-o", tmp_path / "q4.gguf", "--quantize", "q4_0", *options).out.splitlines()[-1]
    assert last == (
        f"perplexity {change['before']:.4f} -> {change['after']:.4f} "
        f"({change['after'] / change['before'] - 1:+.2%}) over {change['tokens']} tokens"
    )


def test_a_text_that_is_none_is_refused_before_the_work(sharkpack: Sharkpack, tmp_path: Path) -> None:
    source, output = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F16"), tmp_path / "q8.gguf"
    binary = tmp_path / "text.bin"
    binary.write_bytes(b"\xff\xfe")
    error = sharkpack("convert", source, "-o", output, "--quantize", "q8_0", "--text", binary).error
    assert error == f"{binary} is UTF-16 text; convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)"
    assert not output.exists()
