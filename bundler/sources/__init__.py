"""Sources of models. Opening one reads its description; weights are read tensor by tensor, later.

Imports from bundler: progress.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sharkpack.bundler.progress import Progress
from sharkpack.bundler.sources.fetch import is_remote, locate
from sharkpack.bundler.sources.gguf_source import open_gguf
from sharkpack.bundler.sources.huggingface import CONFIG, open_checkpoint
from sharkpack.bundler.sources.model import SourceDescription, SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import describe_file, explain_missing
from sharkpack.formats.model_files.gguf import MAGIC as GGUF_MAGIC

__all__ = [
    "SourceDescription",
    "SourceModel",
    "SourceTensor",
    "TokenType",
    "TokenizerFiles",
    "TokenizerSource",
    "open_source",
]

# How a file of each kind begins, and who opens it.
SOURCES: dict[bytes, Callable[[Path], SourceModel]] = {
    GGUF_MAGIC: open_gguf,
}


PROGRAM = re.compile(r"(.+\.py)(?::(.*))?")
MLIR = ".mlir"


def open_source(argument: str, progress: Progress | None = None) -> SourceModel:
    """Open the model that `argument` names: a path, a registered name, `hf:owner/name[@revision][:file]`, or a
    program as `program.py:factory`, which is run, or as `program.mlir`.

    What is not on this machine is fetched first, and `progress` shows it. SharkpackError when no kind of source fits.
    """
    program = PROGRAM.fullmatch(argument)
    if program is not None:
        from sharkpack.bundler.sources.program.factory import (
            open_custom,  # torch: no other source needs it to be opened
        )

        return open_custom(Path(program[1]), program[2])
    if not is_remote(argument):
        return _open_path(Path(argument))
    found = locate(argument, progress)
    source = _open_path(found.path)
    return replace(source, name=found.name or source.name, origin=found.origin or source.origin)


def _open_path(path: Path) -> SourceModel:
    if path.is_dir():
        if not (path / CONFIG).exists() and any(path.glob("*.gguf")):
            raise SharkpackError(f"{path}: {describe_file(path)}")
        return open_checkpoint(path)
    if path.suffix == MLIR:
        from sharkpack.bundler.sources.program.mlir_source import open_mlir  # the compiler, likewise

        return open_mlir(path)
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, SOURCES)))
    except FileNotFoundError as error:
        raise SharkpackError(
            f"{path}: {explain_missing(path)}; expected a GGUF file, a checkpoint's folder, hf:owner/name, a name that "
            "'sharkpack models' lists, or a program (program.py:factory, program.mlir)"
        ) from error
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    for magic, open_model in SOURCES.items():
        if start.startswith(magic) or path.suffix == ".gguf":
            return open_model(path)
    found = describe_file(path)
    what = f"not a model that can be packed but {found}" if found else "not a model that can be packed"
    raise SharkpackError(
        f"{path}: {what}; supported: GGUF files, folders with config.json and *.safetensors, "
        "and programs (program.py:factory, program.mlir)"
    )
