"""The files of a GGUF model: one, or the parts into which llama-gguf-split cuts it. Knows what tells parts apart."""

import os
from pathlib import Path

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import explain_missing
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.gguf_part_names import part_names

PREFIX = "split."
"""Of the keys that tell parts from a whole file."""


def open_parts(path: str | os.PathLike[str]) -> tuple[GGUFFile, ...]:
    """Open the file at `path` and, where it is the first part of a model, the others beside it, in their order.

    Raises SharkpackError where one is missing or of another model, and for a part that is not the first.
    """
    files = [GGUFFile.open(path)]
    try:
        count = _integer(files[0], "count", 1)
        for number, other in enumerate(_other_parts(files[0], count), start=1):
            if not other.exists():
                raise SharkpackError(
                    f"{other}: {explain_missing(other)}; it is part {number + 1} of {count} that make the model"
                )
            files.append(GGUFFile.open(other))
            _check_part(files[-1], number, count)
        _check_tensors(files)
    except BaseException:
        close_parts(files)
        raise
    return tuple(files)


def close_parts(files: "list[GGUFFile] | tuple[GGUFFile, ...]") -> None:
    for file in files:
        file.close()


def _other_parts(first: GGUFFile, count: int) -> list[Path]:
    if count <= 1:
        return []
    names, number = part_names(first.path.name), _integer(first, "no", 0)
    if len(names) != count:
        raise SharkpackError(
            f"{first.path}: part {number + 1} of {count}; to find the others, it has to be named as it was: "
            f"NAME-{number + 1:05}-of-{count:05}.gguf"
        )
    if number or first.path.name != names[0]:
        raise SharkpackError(f"{first.path}: part {number + 1} of {count}; name the first, {names[0]}")
    return [first.path.with_name(name) for name in names[1:]]


def _check_part(file: GGUFFile, number: int, count: int) -> None:
    found = _integer(file, "no", 0), _integer(file, "count", 1)
    if found != (number, count):
        raise SharkpackError(
            f"{file.path}: says that it is part {found[0] + 1} of {found[1]}; expected part {number + 1} of {count}"
        )


def _check_tensors(files: list[GGUFFile]) -> None:
    names = [name for file in files for name in file.tensors]
    expected = _integer(files[0], "tensors.count", len(names))
    if len(files) > 1 and (len(names) != expected or len(set(names)) != expected):
        raise SharkpackError(
            f"{files[0].path}: its {len(files)} parts have {len(set(names))} tensors, and the model {expected}: "
            "one of them is of another model; get them again"
        )


def _integer(file: GGUFFile, key: str, default: int) -> int:
    return Metadata(path=file.path, values=file.metadata).integer(PREFIX + key, default)
