"""Temporary files and folders that are locked while their process lives: those of a killed one are found and removed.

The lock is the system's (flock): it ends with the process however that ends, and holds across containers. Where a file
system has no locks, nothing is ever taken for abandoned.
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".partial"


def temporary_path(folder: Path, prefix: str) -> Path:
    """A new name in `folder`, hidden, that `remove_abandoned` knows by the same `prefix`."""
    return folder / f"{prefix}{secrets.token_hex(8)}{SUFFIX}"


def hold(descriptor: int, path: Path) -> bool:
    """Lock what is open as `descriptor`, made just now under `path`, until it is closed.

    False where another process took it for abandoned and removed it before it was locked: make another.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:  # no locks on this file system: then others cannot lock it either
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def temporary_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `folder`, gone at the end unless it was renamed; those of killed processes go first."""
    remove_abandoned(folder, prefix)
    path, descriptor = _make_folder(folder, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _make_folder(folder: Path, prefix: str) -> tuple[Path, int]:
    while True:
        path = temporary_path(folder, prefix)
        path.mkdir()
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            if hold(descriptor, path):
                return path, descriptor
            os.close(descriptor)


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this block with `folder`; without locks on its file system, do not wait."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(folder: Path, prefix: str) -> int:
    """Remove what killed processes left in `folder` under names of `temporary_path`; returns how many bytes that were.

    What cannot be removed stays, without an error: it is not what the caller came for.
    """
    freed = 0
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix) and name.endswith(SUFFIX)]  # noqa: PTH208
    except OSError:
        return 0
    for name in names:
        freed += _remove_if_abandoned(folder / name)
    return freed


def _remove_if_abandoned(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # gone meanwhile, or another user's
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            return 0
        size = os.fstat(descriptor).st_size
        path.unlink()
        return size
    except OSError:  # its process lives, or it may not be removed
        return 0
    finally:
        with contextlib.suppress(OSError):
            os.close(descriptor)
