"""The cost of quantising, on a tiny model."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantization import main, move_weights
from sharkpack.bundler.convert import ConvertOptions, convert_model
from sharkpack.bundler.quantize import QuantizeOptions
from sharkpack.cli.support.progress import SilentProgress
from sharkpack.formats.model_files.gguf import GGUFFile
from tests.tiny_models import write_tiny_gguf


def test_weights_are_moved_by_half_a_step_at_most_and_vectors_stay(tmp_path: Path) -> None:
    model, exact, moved = write_tiny_gguf(tmp_path / "m.gguf"), tmp_path / "exact.gguf", tmp_path / "moved.gguf"
    whole = QuantizeOptions(scheme="f32", requantize=True)
    convert_model(ConvertOptions(source=str(model), output=exact, quantize=whole), SilentProgress())
    moved.write_bytes(exact.read_bytes())
    move_weights(model, moved)
    with GGUFFile.open(exact) as before, GGUFFile.open(moved) as after:
        for name, tensor in before.tensors.items():
            old, new = before.raw(name).view("f4"), after.raw(name).view("f4")
            if len(tensor.shape) == 1:
                assert np.array_equal(old, new)
                continue
            step = np.ptp(old.reshape(-1, 32), axis=1, keepdims=True) / 15
            relative = np.abs((new - old).reshape(-1, 32)) / step
            assert 0.4 < relative.max() < 0.51
            assert relative.mean() == pytest.approx(0.25, rel=0.1)


def test_the_cost_of_each_type_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, text = write_tiny_gguf(tmp_path / "m.gguf", "llama", "F32", layers=1), tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 60, "utf-8")
    words = ["--models", str(model), "--types", "q8_0", "q4_0", "--text", str(text), "--json", str(tmp_path / "r.json")]
    assert main(words) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["q8_0:", "q4_0:"]
    fine, coarse = ([float(line[3].rstrip(",")), float(line[5])] for line in lines)
    assert 0 < max(fine) < min(coarse)
