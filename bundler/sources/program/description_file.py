"""Reads the JSON beside a program's MLIR: the fields of ProgramDescription, and where the parameters are."""

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.json_file import read_json
from sharkpack.bundler.sources.program.description import ProgramDescription, check_description
from sharkpack.formats.errors import SharkpackError

REQUIRED = ("name", "vocab_size", "context_length", "page_elements", "parameters")
OPTIONAL = ("page_size", "cache_dtype", "tokenizer", "license")


def description_path(program: Path) -> Path:
    """program.json for program.mlir."""
    return program.with_suffix(".json")


def read_description(program: Path) -> tuple[ProgramDescription, Path]:
    """The description of the program at that path, and the path of its parameters; what it names relative to itself is
    made relative to nothing. SharkpackError for a file that is missing, and for the first key that is wrong."""
    path = description_path(program)
    if not path.is_file():
        raise SharkpackError(
            f"{path}: no such file; expected beside {program.name} a JSON object with {', '.join(REQUIRED)}, as "
            "'sharkpack export program.py:factory' writes it"
        )
    values = {key: value for key, value in read_json(path).values().items() if value is not None}
    _check_keys(path, values)
    for key in ("parameters", "tokenizer"):
        if key in values:
            values[key] = path.parent / _text(path, key, values[key])
    parameters: Path = values.pop("parameters")
    description = ProgramDescription(**values)
    check_description(str(path), description)
    return description, parameters


def _check_keys(path: Path, values: dict[str, Any]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            raise SharkpackError(f"{path}: the key '{key}' is not known; {hint}")
    for key in REQUIRED:
        if key not in values:
            raise SharkpackError(f"{path}: the key '{key}' is missing; expected {', '.join(REQUIRED)}")


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise SharkpackError(f"{path}: {key} is {value!r}; expected a path, relative to this file")
    return value
