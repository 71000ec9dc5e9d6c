"""A file that appears whole or not at all: temporary file beside it, disk space asked for first, synced, renamed."""

import contextlib
import errno
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.temporary import hold, remove_abandoned, temporary_path

_SPACE_MARGIN = 1 << 20  # so that a disk is not left with no room at all
_BLOCK = 4 << 20
"""Bytes given to the system at once, at multiples of as many: it then keeps a file just written in pages of 2 MiB, and
weights that are mapped from it are read a sixth faster than from pages of 4 KiB."""

OUTPUT_PREFIX = ".sharkpack-"
"""Of the names of outputs, files and folders, that are not whole yet."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise SharkpackError unless `path` is a file that can be made or, with `overwrite`, replaced."""
    if path.is_dir():
        raise SharkpackError(f"output {path} is a directory; give the name of a file with -o")
    if path.exists() and not path.is_file():
        raise SharkpackError(f"output {path} is a device or a pipe; give the name of a file with -o")
    if not path.parent.is_dir():
        raise SharkpackError(f"folder {path.parent} does not exist; make it first, or choose another with -o")
    if path.exists() and not overwrite:
        raise SharkpackError(f"output {path} exists; choose another name with -o, or replace it with --force")


class OutputFile:
    """Written under a temporary name, seen under `path` only after `publish`; `discard` is safe at any time.

    Refuses an existing `path` unless `overwrite`; removes what killed processes left half-written beside it. Every
    failure of the operating system is a SharkpackError that names `path`, and one that says what is needed and what is
    free where the disk is full.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self._path, self._overwrite = path, overwrite
        self._announced = 0
        self._block = bytearray(_BLOCK)
        self._written = self._staged = 0
        check_output(path, overwrite=overwrite)
        remove_abandoned(path.parent, OUTPUT_PREFIX)
        with self._os_errors():
            self._temporary, self._file = self._open_temporary()

    def check_space(self, size: int) -> None:
        """Announce `size` more bytes; raise SharkpackError unless the file system has room for them."""
        self._announced = size
        free = self._free_space()
        if size + _SPACE_MARGIN > free:
            raise self._no_space(size, f"{_in_words(free)} are free")

    def write(self, data: bytes | memoryview) -> None:
        """Append; the end of it waits until its block is full."""
        left = memoryview(data).cast("B")
        while left:
            begin = self._written % _BLOCK
            count = min(len(left), _BLOCK - begin)
            self._block[begin : begin + count] = left[:count]
            self._written += count
            self._staged += count
            left = left[count:]
            if begin + count == _BLOCK:
                self._flush()

    def overwrite_at(self, offset: int, data: bytes) -> None:
        """Put `data` over what was written at `offset`; the next `write` goes on at the end."""
        self._flush()
        with self._os_errors():
            self._file.seek(offset)
            self._file.write(data)
            self._file.seek(0, os.SEEK_END)

    def publish(self) -> None:
        """Sync, close and rename; the file is then under its own name, durably."""
        self._flush()
        with self._os_errors():
            os.fsync(self._file.fileno())
            self._file.close()
            check_output(self._path, overwrite=self._overwrite)
            self._temporary.replace(self._path)
            _sync_folder(self._path.parent)

    def discard(self) -> None:
        """Close and remove the temporary file; does nothing after `publish`."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _open_temporary(self) -> tuple[Path, io.FileIO]:
        # Not tempfile: its files are private, and this one becomes the output, with the mode that umask gives.
        while True:
            temporary = temporary_path(self._path.parent, OUTPUT_PREFIX)
            file = temporary.open("xb", buffering=0)
            if hold(file.fileno(), temporary):
                return temporary, file
            file.close()

    def _flush(self) -> None:
        """Write what is staged: the bytes of the current block that are not in the file yet."""
        end = (self._written - 1) % _BLOCK + 1
        left = memoryview(self._block)[end - self._staged : end]
        self._staged = 0
        with self._os_errors():
            while left:
                count = self._file.write(left)
                self._announced -= count
                left = left[count:]

    def _free_space(self) -> int:
        with self._os_errors():
            return shutil.disk_usage(self._path.parent).free

    def _no_space(self, size: int, found: str) -> SharkpackError:
        needed = f"{_in_words(size)} more are needed and " if size > 0 else ""
        return SharkpackError(
            f"{self._path}: not enough room on the disk: {needed}{found} "
            f"in {self._path.absolute().parent}; free some, or write elsewhere"
        )

    @contextlib.contextmanager
    def _os_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in _DISK_FULL:
                raise self._no_space(self._announced, f"{_in_words(self._free_space())} are free") from error
            if error.errno == errno.EFBIG:
                raise self._no_space(self._announced, "no larger file is allowed (see ulimit -f)") from error
            raise SharkpackError(f"{self._path}: cannot write: {error.strerror or error}") from error


def _in_words(size: int) -> str:
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} bytes"


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the file system has a way to; some have none for folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
