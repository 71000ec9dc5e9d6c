"""The folder and the size of the compile cache: read from the environment, never from a model."""

import os
import re
from pathlib import Path

from sharkpack.formats.errors import SharkpackError

FOLDER_VARIABLE = "SHARKPACK_CACHE_DIR"
SIZE_VARIABLE = "SHARKPACK_CACHE_SIZE"
DEFAULT_LIMIT = 2 << 30

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def cache_folder() -> Path:
    """SHARKPACK_CACHE_DIR, or sharkpack/compile in XDG_CACHE_HOME, or that in ~/.cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")  # to be ignored unless absolute, says its specification
    root = Path(base) if base and Path(base).is_absolute() else _home() / ".cache"
    return root / "sharkpack" / "compile"


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise SharkpackError(
            f"this user has no home folder for a compile cache; name a folder in {FOLDER_VARIABLE}"
        ) from error


def cache_limit() -> int:
    """Bytes: SHARKPACK_CACHE_SIZE, a number with K, M or G behind it or nothing; DEFAULT_LIMIT where it is not set."""
    text = os.environ.get(SIZE_VARIABLE)
    if not text:
        return DEFAULT_LIMIT
    parts = re.fullmatch(r"(\d+)([KMG]?)", text)
    if parts is None:
        raise SharkpackError(f"{SIZE_VARIABLE} is {text!r}; expected a number of bytes such as 500M or 2G")
    return int(parts.group(1)) * _UNITS[parts.group(2)]
