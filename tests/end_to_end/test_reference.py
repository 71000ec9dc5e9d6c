"""`sharkpack run --reference`: what the recipe says in torch, with nothing compiled, and what the program computes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sharkpack.cli.main import main
from sharkpack.cli.support.reference import reference_engine
from sharkpack.runtime_shim import Engine
from tests.end_to_end.command_line import build
from tests.tiny_models import write_tiny_gguf

TOKENS = [7 * i % 290 + 1 for i in range(40)]  # more than a page
EXACT = ("--activations", "float32", "--cache-dtype", "f32", "--batch-sizes", "1", "--context", "64")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("reference") / "tiny.gguf", "qwen2", "F32", layers=1)


def test_it_computes_what_the_program_does(tiny: Path) -> None:
    assert build(tiny, *EXACT) == 0
    with (
        reference_engine(str(tiny), context=64, threads=None) as reference,
        Engine.open(tiny.with_suffix(".shark")) as engine,
    ):
        expected = engine.all_logits(TOKENS)
        scale = float(np.abs(expected).max())
        assert float(np.abs(reference.all_logits(TOKENS) - expected).max()) < 1e-4 * scale
        assert float(np.abs(reference.logits(TOKENS) - expected[-1]).max()) < 1e-4 * scale
        answers = [each.generate(TOKENS, max_tokens=5).result().token_ids for each in (reference, engine)]
        assert answers[0] == answers[1]
        assert reference.encode("Hello") == engine.encode("Hello")


def test_nothing_is_compiled(tiny: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr("sharkpack.bundler.compile.compiler.compile_module", refuse)
    before, threads = sorted(tiny.parent.iterdir()), torch.get_num_threads()
    options = ("--reference", "--max-tokens", "4", "--context", "512", "--threads", str(threads), "--stats", "--json")
    assert main(["run", str(tiny), "Hello", *options]) == 0
    captured = capfd.readouterr()
    report = json.loads(captured.out)
    assert report["target"] == "reference"
    assert len(report["token_ids"]) <= 4
    assert f"reference on torch, threads: {threads}" in captured.err
    assert sorted(tiny.parent.iterdir()) == before


def test_refusals(tiny: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.shark").write_bytes(b"PK\x03\x04")
    messages = {
        (str(tiny), "--target", "host"): "--reference compiles nothing, so that it has no --target and no --device: "
        "leave them out",
        (str(tiny), "--context", "513"): "context 513 is not possible: the model was trained on 1 to 512 tokens",
        (
            str(tmp_path / "model.shark"),
        ): f"{tmp_path / 'model.shark'}: not a model that can be packed but a ZIP archive: ",
        (str(tmp_path / "none.gguf"),): f"{tmp_path / 'none.gguf'}: no such file",
    }
    for (path, *options), message in messages.items():
        assert main(["run", path, "Hello", "--reference", *options]) == 2
        captured = capfd.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(f"error: {message}")
