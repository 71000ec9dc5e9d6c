"""The JSON files of a checkpoint, read with limits: size, depth, distinct keys, no NaN."""

from pathlib import Path

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.json_values import JsonObject, parse_json

MAX_BYTES = 64 << 20


def read_json(path: Path) -> JsonObject:
    """The object in the file at `path`; SharkpackError when there is no such file, or it holds something else."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SharkpackError(f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are allowed")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise SharkpackError(f"{path} is missing; a checkpoint has it") from error
    except OSError as error:
        raise SharkpackError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return parse_json(data, name=str(path), max_bytes=MAX_BYTES)
    except SharkpackError as error:
        text = str(error)
        raise SharkpackError(text if text.startswith(str(path)) else f"{path}: {text}") from error
