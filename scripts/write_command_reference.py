#!/usr/bin/env python3
"""Write docs/commands.md from the argument parser.

Not with argparse's own layout, which changes with the version of Python and the width of the terminal.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sharkpack.cli.main import COMMANDS, build_parser

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"


def main() -> int:
    """Rewrite the page."""
    PAGE.write_text(render(), encoding="utf-8")
    return 0


def render() -> str:
    """The page as Markdown."""
    return "\n".join(_page()) + "\n"


def _page() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "<!-- Written by scripts/write_command_reference.py. -->"
    yield ""
    yield "Exit status: 0 done, 2 bad input, 70 a defect in sharkpack, 129 hung up, 130 interrupted, 143 terminated,"
    yield "141 the reader of the output went away. Errors are one line on standard error; `SHARKPACK_TRACEBACK=1` adds"
    yield "where they came from."
    parsers = _subparsers(build_parser())
    for command in COMMANDS:
        yield ""
        yield from _section(command, parsers[command])


def _section(name: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## sharkpack {name}"
    yield ""
    yield parser.description or ""
    yield ""
    yield "| argument | |"
    yield "|---|---|"
    for action in parser._actions:
        if action.dest != "help":
            yield f"| `{_spelling(action)}` | {(action.help or '').replace('|', '&#124;')} |"
    yield ""
    yield "```"
    yield from (line.removeprefix("  ") for line in (parser.epilog or "").splitlines()[1:])
    yield "```"


def _spelling(action: argparse.Action) -> str:
    value = str(action.metavar or "") or "\\|".join(action.choices or ())
    if not action.option_strings:
        return value
    return ", ".join(action.option_strings) + (f" {value}" if value and action.nargs != 0 else "")


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    raise AssertionError("the parser has commands")


if __name__ == "__main__":
    sys.exit(main())
