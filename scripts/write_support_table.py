#!/usr/bin/env python3
"""Write docs/support.md: what is supported, by the tests that show it and have just passed.

A test says so with `@pytest.mark.supports("architecture")`: each value of its parameter of that name; or with
`@pytest.mark.supports(architecture="llama")`. Runs those tests; writes nothing if one of them does not pass.
"""

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "support.md"

TITLES = {"architecture": "Architectures", "type": "Types of weights"}
"""What can be supported, in the page's order: the marker's word, and the heading of its table."""

Shown = dict[tuple[str, str], set[str]]
"""(kind, name) -> the tests that show it, each as path::function."""


@dataclass(eq=False)
class Collector:
    """A pytest plugin: which claims which tests make, and which of them passed."""

    claims: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    shown: Shown = field(default_factory=lambda: defaultdict(set))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.claims = {item.nodeid: claims_of(item) for item in items}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            for claim in self.claims.get(report.nodeid, []):
                self.shown[claim].add(report.nodeid.partition("[")[0])


def claims_of(item: pytest.Item) -> list[tuple[str, str]]:
    """(kind, name) for each thing that a test's markers say it shows."""
    values = item.callspec.params if hasattr(item, "callspec") else {}
    found = []
    for marker in item.iter_markers("supports"):
        found += [(kind, str(values[kind])) for kind in marker.args] + list(marker.kwargs.items())
    return found


def render(shown: Shown) -> str:
    """The page as Markdown."""
    lines = [
        "# What is supported",
        "",
        "<!-- Written by scripts/write_support_table.py. -->",
        "",
        "Each row names the tests that show it; the page is written by a run in which all of them passed.",
    ]
    for kind, title in TITLES.items():
        names = sorted(name for of, name in shown if of == kind)
        if names:
            lines += ["", f"## {title}", "", f"| {kind} | tests |", "|---|---|"]
            lines += [f"| {name} | {', '.join(_link(test) for test in sorted(shown[kind, name]))} |" for name in names]
    return "\n".join(lines) + "\n"


def _link(test: str) -> str:
    path, _, function = test.partition("::")
    return f"[{function.removeprefix('test_').replace('_', ' ')}](../{path})"


def main() -> int:
    collector = Collector()
    status = pytest.main(["-q", "-m", "supports", "--rootdir", str(ROOT), str(ROOT / "tests")], plugins=[collector])
    if status == 0:
        PAGE.write_text(render(collector.shown), encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
