"""The table of what is supported: collected from markers, and true of the tests that it names."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from sharkpack.formats.quant import QUANT_TYPES
from sharkpack.templates.architectures.recipes import RECIPES
from tests.tiny_architectures import TINY

ROOT = Path(__file__).parent.parent.parent
ROW = re.compile(r"\| (\S+) \| (\[.*\]\(.*\)) \|")
LINK = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "scripts" / "write_support_table.py"))


@pytest.fixture(scope="module")
def page() -> str:
    return (ROOT / "docs" / "support.md").read_text("utf-8")


def test_each_row_names_tests_that_exist(page: str) -> None:
    rows = ROW.findall(page)
    assert rows
    for name, cell in rows:
        links = LINK.findall(cell)
        assert links, name
        for words, path in links:
            function = f"def test_{words.replace(' ', '_')}("
            assert function in (ROOT / path).read_text("utf-8"), f"{name}: run scripts/write_support_table.py"


def test_every_recipe_has_a_row(page: str) -> None:
    names = {name for name, _ in ROW.findall(page.partition("## Architectures")[2].partition("\n## ")[0])}
    assert names == {*RECIPES, *TINY, "mixtral"}, "run scripts/write_support_table.py"


def test_every_type_of_weight_has_a_row(page: str) -> None:
    names = {name for name, _ in ROW.findall(page.partition("## Types of weights")[2].partition("\n## ")[0])}
    assert names == set(QUANT_TYPES), "run scripts/write_support_table.py"


def test_claims_are_of_parameters_and_of_words(script: dict[str, Any], pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = supports\n")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.supports("architecture", type="Q8_0")
        @pytest.mark.parametrize("architecture", ["one", "two"])
        def test_logits(architecture): pass

        @pytest.mark.supports(architecture="three")
        def test_not_yet(): assert False

        def test_claims_nothing(): pass
        """
    )
    collector = script["Collector"]()
    result = pytester.inline_run("-m", "supports", plugins=[collector])
    result.assertoutcome(passed=2, failed=1)
    assert set(collector.shown) == {("architecture", "one"), ("architecture", "two"), ("type", "Q8_0")}
    text = script["render"](collector.shown)
    (file,) = pytester.path.glob("test_*.py")
    assert f"| one | [logits](../{file.name}) |\n| two |" in text
    assert f"## Types of weights\n\n| type | tests |\n|---|---|\n| Q8_0 | [logits](../{file.name}) |" in text
    assert "three" not in text
