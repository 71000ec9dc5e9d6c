"""Text files that commands are given."""

from pathlib import Path

from sharkpack.formats.errors import SharkpackError


def read_text(path: Path) -> str:
    """The file as text; SharkpackError where it is none."""
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SharkpackError(f"{path} is not UTF-8 text: byte {error.start} is not; convert it first") from error
