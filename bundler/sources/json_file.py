"""The JSON files of a checkpoint, read with limits: size, depth, distinct keys, no NaN."""

from pathlib import Path

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import (
    NO_SUCH_FILE,
    START_BYTES,
    describe_start,
    explain_missing,
    refuse_stand_in,
)
from sharkpack.formats.io.json_values import JsonObject, parse_json
from sharkpack.formats.io.text import as_utf8

MAX_BYTES = 64 << 20


def read_json(path: Path) -> JsonObject:
    """The object in the file at `path`; SharkpackError when there is no such file, or it holds something else."""
    data = read_utf8(path, MAX_BYTES)
    try:
        return parse_json(data, name=str(path), max_bytes=MAX_BYTES)
    except SharkpackError as error:
        found = describe_start(data[:START_BYTES], len(data), text=False)
        if found is not None:
            raise SharkpackError(f"{path}: not JSON but {found}") from error
        text = str(error)
        raise SharkpackError(text if text.startswith(str(path)) else f"{path}: {text}") from error


def read_values(path: Path, *, optional: bool = False) -> Metadata:
    """The same, for typed reading of single keys; a file that is optional and absent has none."""
    return Metadata(path=path, values={} if optional and not path.exists() else read_json(path).values())


def read_utf8(path: Path, most: int) -> bytes:
    """The same of a text file, without its byte order mark; SharkpackError for other encodings too."""
    return as_utf8(read_bytes(path, most), str(path))


def read_bytes(path: Path, most: int) -> bytes:
    """The file's bytes; SharkpackError when it is missing, cannot be read or has more than `most` of them."""
    try:
        size = path.stat().st_size
        if size > most:
            raise SharkpackError(f"{path} has {size} bytes; at most {most} are allowed")
        data = path.read_bytes()
    except FileNotFoundError as error:
        found = explain_missing(path)
        reason = "is missing" if found == NO_SUCH_FILE else f"is missing: {found}"
        raise SharkpackError(f"{path} {reason}; a checkpoint has it") from error
    except IsADirectoryError as error:
        raise SharkpackError(f"{path} is a folder; a checkpoint has a file of that name") from error
    except OSError as error:
        raise SharkpackError(f"{path} cannot be read: {error.strerror}") from error
    refuse_stand_in(path, data[:START_BYTES])
    return data
