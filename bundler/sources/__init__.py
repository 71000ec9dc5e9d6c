"""Where models come from. Opening one reads its description; weights are read tensor by tensor, later."""

from collections.abc import Callable
from pathlib import Path

from sharkpack.bundler.sources.gguf_source import open_gguf
from sharkpack.bundler.sources.huggingface import open_checkpoint
from sharkpack.bundler.sources.model import SourceModel, SourceTensor
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.sources.tokenizer_source import TokenizerSource, TokenType
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.gguf import MAGIC as GGUF_MAGIC

__all__ = ["SourceModel", "SourceTensor", "TokenType", "TokenizerFiles", "TokenizerSource", "open_source"]

# How a file of each kind begins, and who opens it.
SOURCES: dict[bytes, Callable[[Path], SourceModel]] = {
    GGUF_MAGIC: open_gguf,
}


def open_source(argument: str) -> SourceModel:
    """Open the model that `argument` names (a path for now); SharkpackError when no kind of source fits it."""
    path = Path(argument)
    if path.is_dir():
        return open_checkpoint(path)
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, SOURCES)))
    except FileNotFoundError as error:
        raise SharkpackError(f"{path}: no such file; expected a GGUF file or a checkpoint's folder") from error
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    for magic, open_model in SOURCES.items():
        if start.startswith(magic) or path.suffix == ".gguf":
            return open_model(path)
    raise SharkpackError(
        f"{path}: not a model that can be packed; supported: GGUF files, and folders with config.json and *.safetensors"
    )
