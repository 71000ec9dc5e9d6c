"""docs/runtime.md: its example runs, and its table has every error."""

import re
from pathlib import Path

import pytest

from sharkpack.runtime_shim import errors
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_language import CHAT_TEMPLATE, CONTEXT

PAGE = (Path(__file__).parents[2] / "docs" / "runtime.md").read_text(encoding="utf-8")


def test_the_example_runs(
    toy_code: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    ToyBundle(code=toy_code, chat_template=CHAT_TEMPLATE).write(tmp_path / "model.shark")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    said = capsys.readouterr().out
    assert said.startswith("toy on local-")
    assert said.endswith(f"room for {CONTEXT} tokens; the prompt has {CONTEXT + 1} or more\n")


def test_the_table_has_every_error() -> None:
    rows = re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(set(errors.__all__) - {"SharkpackError"})
