"""`sharkpack cache`: the code that builds keep for each other."""

import argparse
import datetime
from typing import TYPE_CHECKING

from sharkpack.cli.support.console import format_bytes, write_json, write_table, write_text
from sharkpack.formats.errors import SharkpackError

if TYPE_CHECKING:
    from sharkpack.bundler.compile.cache import CompileCache

SUMMARY = "list or clear the code that builds keep for each other"
DESCRIPTION = (
    "List, measure or clear the compile cache. A build whose code is there neither traces nor compiles. It lies in "
    "SHARKPACK_CACHE_DIR (default: sharkpack/compile in XDG_CACHE_HOME or ~/.cache) and holds at most "
    "SHARKPACK_CACHE_SIZE bytes (such as 500M; default: 2G), of which the least recently used go first."
)
EXAMPLES = """\
examples:
  sharkpack cache          what is there
  sharkpack cache size
  sharkpack cache clear
  sharkpack cache path
"""

ACTIONS = ("list", "size", "clear", "path")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="what to do (default: list)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Do it, and print what came of it."""
    from sharkpack.bundler.compile.cache import CompileCache

    cache = CompileCache.of_user()
    try:
        {"list": _list, "size": _size, "clear": _clear, "path": _path}[arguments.action](cache, arguments.json)
    except OSError as error:
        raise SharkpackError(
            f"the compile cache {cache.folder} cannot be read or changed: {error.strerror}; "
            "see to its permissions, or name another folder in SHARKPACK_CACHE_DIR"
        ) from error
    return 0


def _list(cache: "CompileCache", as_json: bool) -> None:
    entries = cache.entries()
    if as_json:
        rows = [{"key": e.key, "about": e.about, "size": e.size, "used_at": e.used_at} for e in entries]
        write_json({"path": str(cache.folder), "entries": rows})
    elif not entries:
        write_text(f"{cache.folder} is empty\n")
    else:
        moments = [datetime.datetime.fromtimestamp(entry.used_at) for entry in entries]
        cells = [
            (entry.key[:16], entry.about, format_bytes(entry.size), f"{moment:%Y-%m-%d %H:%M}")
            for entry, moment in zip(entries, moments, strict=True)
        ]
        write_table(("key begins", "holds", "size", "last used"), cells, numeric=("size",))


def _size(cache: "CompileCache", as_json: bool) -> None:
    entries = cache.entries()
    size = sum(entry.size for entry in entries)
    if as_json:
        write_json({"path": str(cache.folder), "entries": len(entries), "size": size, "limit": cache.limit})
    else:
        write_text(f"{format_bytes(size)} in {len(entries)} entries, of at most {format_bytes(cache.limit)}\n")


def _clear(cache: "CompileCache", as_json: bool) -> None:
    freed = cache.clear()
    if as_json:
        write_json({"path": str(cache.folder), "freed": freed})
    else:
        write_text(f"{format_bytes(freed)} freed\n")


def _path(cache: "CompileCache", as_json: bool) -> None:
    if as_json:
        write_json({"path": str(cache.folder)})
    else:
        write_text(f"{cache.folder}\n")
