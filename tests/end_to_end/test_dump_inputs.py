"""`sharkpack dump-inputs`: calls that iree-run-module makes again, with the same results."""

import json
from pathlib import Path

import numpy as np
import pytest

from sharkpack.cli.main import main
from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Engine
from tests.end_to_end.stock_tools import run_script

PROMPT = "Hello world, and the other things in it. " * 2  # more than a page of 32 tokens
STEPS = 3
SUCCESS = "[SUCCESS] all function outputs matched their expected values."


@pytest.fixture(scope="module")
def dumped(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dumped") / "calls"
    options = ("--prompt", PROMPT, "--raw", "--steps", str(STEPS), "-o", str(folder))
    assert main(["dump-inputs", str(tiny_bundle), *options]) == 0
    return folder


def test_iree_run_module_makes_the_same_calls(dumped: Path) -> None:
    """Prefill and every decode; the cache that a call leaves is the one that the next takes."""
    expected = [f"EXEC @{name}_bs1" for name in ("prefill", *["decode"] * STEPS)]
    assert run_script(dumped / "commands.sh").splitlines() == [line for each in expected for line in (each, SUCCESS)]


def test_another_result_would_be_seen(dumped: Path) -> None:
    path = dumped / "step-2-decode" / "logits.npy"
    logits = np.load(path)
    np.save(path, logits + 1)
    try:
        with pytest.raises(AssertionError, match="FAILED"):
            run_script(dumped / "commands.sh")
    finally:
        np.save(path, logits)


def test_the_calls_are_what_the_engine_computes(dumped: Path, tiny_bundle: Path) -> None:
    steps = json.loads((dumped / "steps.json").read_text())
    with Engine.open(tiny_bundle) as engine:
        ids = list(engine.encode(PROMPT, raw=True))
        assert np.load(dumped / "step-0-prefill" / "tokens.npy").tolist() == [ids]
        assert len(ids) > generate_signature(engine.bundle.manifest.signature).page_size
        for index, step in enumerate(steps):
            kind = "decode" if index else "prefill"
            found, expected = np.load(dumped / f"step-{index}-{kind}" / "logits.npy")[0], engine.logits(ids)
            assert float(np.abs(found - expected).max()) < 0.02 * float(np.abs(expected).max())
            assert step["token_id"] == int(found.argmax())
            assert np.load(dumped / f"step-{index}-{kind}" / "seq_lens.npy").tolist() == [len(ids)]
            ids.append(step["token_id"])
    pages = -(-(len(ids) - 1) // 32)
    assert np.load(dumped / "cache-0.npy").shape[0] == 1 + pages
    assert np.load(dumped / "step-1-decode" / "page_table.npy").tolist() == [list(range(1, 1 + pages))]


def test_report(tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Through the chat template, and without a decode."""
    folder = tmp_path / "calls"
    options = ("--prompt", "Hello", "--steps", "0", "-o", str(folder), "--json")
    assert main(["dump-inputs", str(tiny_bundle), *options]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["path"] == str(folder)
    (step,) = report["steps"]
    assert step["function"] == "prefill_bs1"
    assert all((folder / name).exists() for name in step["inputs"])
    with Engine.open(tiny_bundle) as engine:
        assert np.load(folder / "step-0-prefill" / "tokens.npy").tolist() == [list(engine.encode("Hello"))]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prompt", "", "--raw"), "the prompt is empty: give at least one character"),
        (("--prompt", "a", "--raw", "--steps", "512"), "1 tokens and 512 steps are more than the context of 512; "
         "give a shorter prompt or fewer --steps"),
        (("--prompt", "a", "--target", "pdp11"), "no target 'pdp11' in this bundle, which has "),
        (("--prompt", "a", "--steps", "-1"), "argument --steps: '-1' is below zero (see "),
    ],
)  # fmt: skip
def test_refusals(
    tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    assert main(["dump-inputs", str(tiny_bundle), "-o", str(tmp_path / "out"), *options]) == 2
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {message}")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
