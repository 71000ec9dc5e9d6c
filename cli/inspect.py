"""`sharkpack inspect`: what a model file holds. Finds the format by its first bytes, and never loads weights."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import describe_file, explain_missing, wrong_file

if TYPE_CHECKING:
    from sharkpack.cli.support.inspection import Inspection

SUMMARY = "show what a .shark, .gguf, .irpa or .safetensors file or a checkpoint holds"
DESCRIPTION = "Show what a .shark, .gguf, .irpa or .safetensors file or a checkpoint's folder holds. Reads no weights."
EXAMPLES = """\
examples:
  sharkpack inspect model.shark
  sharkpack inspect model.shark --verify     check every byte against the recorded hashes
  sharkpack inspect model.gguf --tensors
  sharkpack inspect model.shark --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the file, whatever its name, or the folder")
    parser.add_argument("--tensors", action="store_true", help="list the tensors too")
    parser.add_argument("--verify", action="store_true", help="of a .shark file: hash every member (reads all of it)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def execute(arguments: argparse.Namespace) -> int:
    """Print what the file holds."""
    kind = detect_kind(arguments.file)
    if arguments.verify and kind != "shark":
        what = kind if kind == "checkpoint" else f"{kind} file"
        raise SharkpackError(f"--verify checks the hashes of a .shark file, and {arguments.file} is a {what}")
    inspection = _inspector(kind)(arguments.file)
    if arguments.verify:
        _verify(arguments.file)
    if arguments.json:
        _print_json(arguments, inspection)
    else:
        _print_tables(arguments, inspection)
    return 0


def detect_kind(path: Path) -> str:
    """The file's format by its first bytes: "shark", "gguf", "irpa" or "safetensors"; else SharkpackError.

    A folder with config.json is a "checkpoint".
    """
    if (path / "config.json").is_file():
        return "checkpoint"
    start = _first_bytes(path)
    if start.startswith(b"PK\x03\x04"):
        return "shark"
    if start.startswith(b"GGUF"):
        return "gguf"
    if start.startswith(b"IRPA"):
        return "irpa"
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 40:
        return "safetensors"
    raise wrong_file(path, "a .shark, .gguf, .irpa or .safetensors file", f"it begins with {start[:8].hex(' ')}")


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(9)
    except FileNotFoundError as error:
        raise SharkpackError(f"{path}: {explain_missing(path)}") from error
    except IsADirectoryError as error:
        raise SharkpackError(f"{path}: {describe_file(path)}, or one with config.json") from error
    except OSError as error:
        raise SharkpackError(f"cannot read {path}: {error.strerror}") from error


def _inspector(kind: str) -> "Callable[[Path], Inspection]":
    from sharkpack.cli.support import inspection

    if kind == "checkpoint":
        from sharkpack.cli.support.checkpoint_inspection import inspect_checkpoint

        return inspect_checkpoint
    return {
        "shark": inspection.inspect_shark,
        "gguf": inspection.inspect_gguf,
        "irpa": inspection.inspect_irpa,
        "safetensors": inspection.inspect_safetensors,
    }[kind]


def _verify(path: Path) -> None:
    from sharkpack.cli.support.progress import show_progress
    from sharkpack.formats.archive.reader import Archive

    with (
        Archive.open(path) as archive,
        show_progress(quiet=False) as progress,
        progress.step("verify", archive.size) as step,
    ):
        archive.verify(step.advance)


def _print_json(arguments: argparse.Namespace, inspection: "Inspection") -> None:
    from sharkpack.cli.support.console import write_json

    report = {"kind": inspection.kind, "path": str(arguments.file), "size": inspection.size, **inspection.details}
    if arguments.verify:
        report["verified"] = True
    if arguments.tensors:
        report["tensors"] = [tensor.to_dict() for tensor in inspection.tensors]
    write_json(report)


def _print_tables(arguments: argparse.Namespace, inspection: "Inspection") -> None:
    from sharkpack.cli.support.console import format_bytes, write_table, write_text

    write_text(f"{arguments.file}  {inspection.kind}, {format_bytes(inspection.size)}\n")
    for table in inspection.tables:
        write_text("\n")
        write_table(table.headings, table.rows, numeric=table.numeric)
    if arguments.tensors:
        write_text("\n")
        rows = [tensor.to_row() for tensor in inspection.tensors]
        headings = ("tensor", "type", "shape", "offset", "bytes", "file")[: max(map(len, rows), default=5)]
        write_table(headings, rows, numeric=("offset", "bytes"))
    if arguments.verify:
        write_text("\nevery member matches its SHA-256\n")
