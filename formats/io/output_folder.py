"""A folder that appears whole or not at all: filled under a temporary name beside it, and renamed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.output_file import OUTPUT_PREFIX
from sharkpack.formats.io.temporary import temporary_folder


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which is `path` once the block ends without an exception, and gone if it ends with one.

    `path` must be new or empty: what others wrote is never removed. Failures to write are SharkpackErrors.
    """
    _check(path)
    try:
        with temporary_folder(path.absolute().parent, OUTPUT_PREFIX) as temporary:
            yield temporary
            temporary.replace(path)
    except OSError as error:
        raise SharkpackError(f"{path}: cannot write: {error.strerror or error}") from error


def _check(path: Path) -> None:
    try:
        if not path.absolute().parent.is_dir():
            raise SharkpackError(f"folder {path.parent} does not exist; make it first, or choose another with -o")
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            kind = "a folder that is not empty" if path.is_dir() else "a file"
            raise SharkpackError(f"output {path} is {kind}; name a new folder with -o")
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror or error}") from error
