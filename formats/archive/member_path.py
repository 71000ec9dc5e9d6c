"""Rules for the names of archive members, shared by the writer, the reader and the manifest."""

import re
from collections.abc import Iterable

from sharkpack.formats.errors import SharkpackError

MAX_PATH_LENGTH = 255

# One segment: letters, digits and "._+-", neither starting with a dot or sign nor ending with a dot. This leaves no
# room for "..", absolute paths, drive letters, backslashes, control characters or names that Unicode could fold.
_SEGMENT = r"[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+-])?"
_PATH = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})*")


def check_member_path(path: str) -> None:
    """Raise SharkpackError unless `path` is a name that is safe on every file system."""
    if len(path) > MAX_PATH_LENGTH:
        raise SharkpackError(f"member name of {len(path)} characters; at most {MAX_PATH_LENGTH} are allowed")
    if not _PATH.fullmatch(path):
        raise SharkpackError(
            f"unsafe member name {path!r}; names are relative, '/'-separated, of ASCII letters, digits and '._+-'"
        )


def check_distinct(paths: Iterable[str]) -> None:
    """Raise SharkpackError if two paths are equal, differ only in case, or one is a folder of another."""
    seen: dict[str, str] = {}
    for path in paths:
        key = path.lower()
        if key in seen:
            how = "appears twice" if seen[key] == path else f"collides with {seen[key]!r} where case is ignored"
            raise SharkpackError(f"member {path!r} {how}")
        seen[key] = path
    for key, path in seen.items():
        parts = key.split("/")
        for end in range(1, len(parts)):
            folder = "/".join(parts[:end])
            if folder in seen:
                raise SharkpackError(f"member {seen[folder]!r} is also the folder of {path!r}")
