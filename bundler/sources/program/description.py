"""What a program says of itself besides its code, which is the same for a torch module and for MLIR text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharkpack.formats.errors import SharkpackError

SIZES = ("vocab_size", "context_length", "page_elements", "page_size")
MOST = 1 << 24
"""Of any of these: a page of more than 64 MB is a mistake."""


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
