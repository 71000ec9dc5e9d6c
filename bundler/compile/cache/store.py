"""A folder of entries under keys, bounded in size, safe under concurrent builds. Knows bytes, not how they are made.

It never fails a build: what the operating system refuses is kept in `problem`, and from then on nothing is kept.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sharkpack.bundler.compile.cache.settings import cache_folder, cache_limit
from sharkpack.formats.io.temporary import hold, remove_abandoned, temporary_path

_PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One entry: what it holds in words, its size on disk in bytes, and when it was last used (seconds since 1970)."""

    key: str
    about: str
    size: int
    used_at: float


class CompileCache:
    """Entries of `folder`, at most `limit` bytes of them: the least recently used go first."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.problem: str | None = None

    @classmethod
    def of_user(cls) -> "CompileCache":
        """The one that the environment names. Raises SharkpackError for a size that is none."""
        return cls(cache_folder(), cache_limit())

    def get(self, key: str) -> bytes | None:
        """The bytes under `key`; None where there are none. A damaged entry is removed and counts as none."""
        path = self.folder / key
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._give_up(error)
            return None
        data = _unwrap(key, content)
        with contextlib.suppress(OSError):  # of a folder that can only be read
            if data is None:
                path.unlink(missing_ok=True)
            else:
                os.utime(path)
        return data

    def put(self, key: str, data: bytes, about: str) -> None:
        """Keep `data`, replacing what is there; readers see the old entry or the new one, whole."""
        content = _wrap(key, data, about)
        if self.problem is not None or len(content) > self.limit:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._replace(self.folder / key, content)
            self._evict()
        except OSError as error:
            self._give_up(error)

    def entries(self) -> list[CacheEntry]:
        """All entries, the most recently used first; damaged ones too."""
        found = []
        for path in self._files():
            with contextlib.suppress(OSError):  # another process may have removed it
                state = path.stat()
                about = _about(path)
                found.append(CacheEntry(key=path.name, about=about, size=state.st_size, used_at=state.st_mtime))
        return sorted(found, key=lambda entry: (-entry.used_at, entry.key))

    def clear(self) -> int:
        """Remove all entries, and what killed builds left; returns how many bytes they had.

        Raises OSError where that is refused.
        """
        freed = remove_abandoned(self.folder, _PARTIAL)
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):
                size = path.stat().st_size
                path.unlink()
                freed += size
        return freed

    def _replace(self, path: Path, content: bytes) -> None:
        temporary, descriptor = self._open_temporary()
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                temporary.replace(path)  # before the lock goes with the file
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _open_temporary(self) -> tuple[Path, int]:
        while True:
            temporary = temporary_path(self.folder, _PARTIAL)
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            if hold(descriptor, temporary):
                return temporary, descriptor
            os.close(descriptor)

    def _evict(self) -> None:
        remove_abandoned(self.folder, _PARTIAL)
        entries = self.entries()
        excess = sum(entry.size for entry in entries) - self.limit
        for entry in reversed(entries):
            if excess <= 0:
                return
            (self.folder / entry.key).unlink(missing_ok=True)
            excess -= entry.size

    def _files(self) -> Iterator[Path]:
        return (path for path in self._listed() if not path.name.startswith(_PARTIAL))

    def _listed(self) -> list[Path]:
        return sorted(self.folder.iterdir()) if self.folder.is_dir() else []

    def _give_up(self, error: OSError) -> None:
        self.problem = self.problem or f"the compile cache {self.folder} cannot be used: {error.strerror or error}"


def _digest(key: str, data: bytes) -> str:
    return hashlib.sha256(key.encode() + b"\0" + data).hexdigest()


def _wrap(key: str, data: bytes, about: str) -> bytes:
    """A line of JSON that says what follows and what it hashes to, and the data."""
    return json.dumps({"about": about, "sha256": _digest(key, data)}).encode() + b"\n" + data


def _unwrap(key: str, content: bytes) -> bytes | None:
    line, _, data = content.partition(b"\n")
    return data if _header(line).get("sha256") == _digest(key, data) else None


def _about(path: Path) -> str:
    with path.open("rb") as file:
        return str(_header(file.readline(4096)).get("about", "damaged"))


def _header(line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
