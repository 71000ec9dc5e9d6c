"""Documents that must agree with the code."""

import re
import runpy
from pathlib import Path

import pytest

from sharkpack.bundler.compile.targets import HOST, TARGETS
from sharkpack.templates.architectures.recipes import RECIPES
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_language import CHAT_TEMPLATE
from tests.runtime_shim.toy_program import compile_toy

ROOT = Path(__file__).parent.parent


def test_command_reference_is_current() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "write_command_reference.py"))
    found = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert found == script["render"](), "run scripts/write_command_reference.py"


def test_links_in_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / link).exists()
    ]
    assert not broken


def test_readme_lists_the_targets_and_architectures() -> None:
    rows = re.findall(r"^\| `([^`]+)`", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [HOST, *TARGETS, *RECIPES]


def test_help_lists_the_targets() -> None:
    reference = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    rows = {line for line in reference.splitlines() if "--target NAME" in line and "compile" in line}
    (row,) = rows  # the same of every command that compiles
    assert set(re.findall(r"(?:generic-)?(?:x86-64|aarch64)[\w-]*|host", row)) == {HOST, *TARGETS}


def test_readme_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    ToyBundle(code=compile_toy(), chat_template=CHAT_TEMPLATE).write(tmp_path / "model.shark")
    monkeypatch.chdir(tmp_path)
    exec(example, {})
    assert capsys.readouterr().out


def test_the_worked_example_of_an_architecture_is_the_code() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "architectures.md").read_text("utf-8"), re.DOTALL)
    files = ("templates/architectures/qwen3.py", "bundler/sources/huggingface/qwen3.py")
    assert len(blocks) == len(files)
    for block, file in zip(blocks, files, strict=True):
        assert block.rstrip() in (ROOT / file).read_text("utf-8"), file
