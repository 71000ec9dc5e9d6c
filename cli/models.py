"""`sharkpack models`: the models that can be built by their name."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharkpack.bundler.sources.fetch import RegisteredModel

SUMMARY = "list the models that can be built by their name"
DESCRIPTION = (
    "List the models that 'sharkpack build NAME' fetches, checks against their SHA-256 and builds. They are kept in "
    "SHARKPACK_MODELS (default: sharkpack/models in XDG_CACHE_HOME or ~/.cache)."
)
EXAMPLES = """\
examples:
  sharkpack models
  sharkpack models --json     with hashes and sources
  sharkpack build smollm2-135m
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Print the table."""
    from sharkpack.bundler.sources.fetch import REGISTERED

    if arguments.json:
        _print_json(list(REGISTERED.values()))
    else:
        _print_table(list(REGISTERED.values()))
    return 0


def _print_json(models: "list[RegisteredModel]") -> None:
    from sharkpack.bundler.sources.fetch import kept_file
    from sharkpack.cli.support.console import write_json

    rows = []
    for model in models:
        kept = kept_file(model)
        about = {"name": model.name, "about": model.about, "license": model.license, "file": model.file}
        bytes_of_it = {"size": model.size, "sha256": model.sha256}
        sources = {"sources": [str(part) for part in model.parts], "path": None if kept is None else str(kept)}
        rows.append(about | bytes_of_it | sources)
    write_json({"models": rows})


def _print_table(models: "list[RegisteredModel]") -> None:
    from sharkpack.bundler.sources.fetch import kept_file
    from sharkpack.cli.support.console import format_bytes, write_table

    rows = [
        (model.name, model.about, format_bytes(model.size), model.license, "yes" if kept_file(model) else "no")
        for model in models
    ]
    write_table(("name", "model", "size", "licence", "here"), rows, numeric=("size",))
