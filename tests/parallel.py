"""A pytest plugin for runs in several processes (pytest-xdist): the tests that stay together, and the figures of all.

Tests of one file share their fixtures, and tests of real models their bundles, so each group runs in one process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model_plugin import FIXTURE as MODEL_FIXTURE

FIGURES = pytest.StashKey[list[str]]()
REAL_MODELS = "real models"


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`measured("Qwen builds in 20 s")`: show a figure in the summary, whether its test passes or not."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item.path, getattr(item, "fixturenames", ()))))


def group_of(path: Path, fixtures: "tuple[str, ...] | list[str]") -> str:
    """Returns the name of the group of tests that run in one process, one after the other."""
    return REAL_MODELS if MODEL_FIXTURE in fixtures else path.name


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(FIGURES, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the figures of a process that has ended."""
    node.config.stash.setdefault(FIGURES, []).extend(getattr(node, "workeroutput", {}).get("figures", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(figure)
