"""`sharkpack eval`: figures of a text, as a table and as JSON."""

import json
import math
from pathlib import Path

import pytest

from tests.cli.conftest import Sharkpack


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("The quick brown fox jumps over the lazy dog. " * 4)
    return path


def test_json(sharkpack: Sharkpack, bundle: Path, text: Path) -> None:
    outcome = sharkpack("eval", bundle, "--text", text, "--context", "64", "--stride", "16", "--json")
    assert (outcome.status, outcome.err) == (0, "")
    report = json.loads(outcome.out)
    assert report["path"] == str(bundle)
    assert (report["context"], report["stride"], report["text_tokens"]) == (64, 16, 180)
    assert report["tokens"] in (179, 180)
    mean = report["negative_log_likelihood"] / report["tokens"]
    assert report["perplexity"] == pytest.approx(math.exp(mean))


def test_table(sharkpack: Sharkpack, bundle: Path, text: Path) -> None:
    outcome = sharkpack("eval", bundle, "--text", text)
    assert (outcome.status, outcome.err) == (0, "")
    names = [line.split("  ")[0] for line in outcome.out.splitlines()]
    assert names == ["what", names[1], "perplexity", "bits a byte", "tokens scored", "windows", "time"]
    assert "of at most 96 tokens, stride 48" in outcome.out


def test_marks_and_line_ends_of_windows_are_no_part_of_a_text(
    sharkpack: Sharkpack, bundle: Path, tmp_path: Path
) -> None:
    counts = []
    for name, data in (("unix", "a\nbc\n"), ("windows", "\ufeffa\r\nbc\r\n")):
        (tmp_path / name).write_bytes(data.encode())
        counts.append(json.loads(sharkpack("eval", bundle, "--text", tmp_path / name, "--json").out)["text_tokens"])
    assert counts[0] == counts[1]


def test_refusals(sharkpack: Sharkpack, bundle: Path, text: Path, tmp_path: Path) -> None:
    latin = tmp_path / "latin.txt"
    latin.write_bytes(b"caf\xe9")
    assert sharkpack("eval", bundle, "--text", latin).error == (
        f"{latin} is not UTF-8 text: byte 3 is 0xe9; convert it to UTF-8 first"
    )
    missing = tmp_path / "none.txt"
    assert sharkpack("eval", bundle, "--text", missing).error == (f"{missing}: no such file")
    assert "stride is 96" in sharkpack("eval", bundle, "--text", text, "--stride", "96").error
    assert "--text" in sharkpack("eval", bundle).error
