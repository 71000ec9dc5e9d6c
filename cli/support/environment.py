"""The process that a command makes something in: what is installed, and what becomes of warnings."""

import importlib.util
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from sharkpack.formats.errors import SharkpackError

COMPILER_MODULES = ("torch", "iree.compiler", "iree.turbine")


def require_compiler() -> None:
    """Raise SharkpackError in an installation that can only run models."""
    missing = [name for name in COMPILER_MODULES if not _installed(name)]
    if missing:
        raise SharkpackError(
            f"this installation can run models but not build them ({', '.join(missing)} not installed): "
            "pip install 'sharkpack[build]'"
        )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Keep the warnings that packages write for each other from users, unless they asked for them (python -W)."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package is absent
        return False
