"""The description of a program besides its code: the same for a torch module and for MLIR text, whose description is
a JSON file beside it, which also names its parameters."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from sharkpack.bundler.sources.json_file import read_json
from sharkpack.formats.errors import SharkpackError

SIZES = ("vocab_size", "context_length", "page_elements", "page_size")
MOST = 1 << 24
"""The largest of any of these: a page of more than 64 MB is a mistake."""

REQUIRED = ("name", "vocab_size", "context_length", "page_elements", "parameters")
OPTIONAL = ("page_size", "cache_dtype", "tokenizer", "license")
"""Keys of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramDescription:
    """The signature of a language model.

    vocab_size: logits. context_length: tokens that a sequence may have.
    page_elements, page_size: numbers that a page of the cache holds, and the tokens that it stands for.
    tokenizer: a folder with tokenizer.json; None is one token a byte, of which the first 256 ids are made.
    """

    name: str
    vocab_size: int
    context_length: int
    page_elements: int
    page_size: int = 32
    cache_dtype: Literal["f16", "f32"] = "f32"
    tokenizer: Path | None = None
    license: str | None = None


def check_description(what: str, description: ProgramDescription) -> None:
    """Hold its values to their types and ranges; SharkpackError, beginning with `what`, for the first that is wrong."""
    for key in SIZES:
        value = getattr(description, key)
        if type(value) is not int or not 1 <= value <= MOST:
            raise SharkpackError(f"{what}: {key} is {value!r}; expected a whole number from 1 to {MOST}")
    if description.cache_dtype not in ("f16", "f32"):
        raise SharkpackError(f"{what}: cache_dtype is {description.cache_dtype!r}; expected 'f16' or 'f32'")
    for key in ("name", "license"):
        value = getattr(description, key)
        if not isinstance(value, str) and (key == "name" or value is not None):
            raise SharkpackError(f"{what}: {key} is {value!r}; expected a string")
    if not description.name:
        raise SharkpackError(f"{what}: name is empty; expected what people call the model")
    if description.tokenizer is not None and not isinstance(description.tokenizer, Path):
        raise SharkpackError(
            f"{what}: tokenizer is {description.tokenizer!r}; expected a pathlib.Path, of a folder with tokenizer.json"
        )


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
