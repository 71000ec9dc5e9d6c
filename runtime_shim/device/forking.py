"""Checks for forked processes: IREE's threads stay in the parent, so that a child would wait for them forever."""

import ctypes
import os
from typing import Any

from sharkpack.runtime_shim.errors import NoDeviceError

_devices: list[Any] = []
_forked = False


def remember_device(device: Any) -> None:
    """To be told of each device that this process opens."""
    if not any(known is device for known in _devices):
        _devices.append(device)


def check_process() -> None:
    """Raise SharkpackError in a process that was forked from one with an open device."""
    if is_forked():
        raise NoDeviceError(
            "this process was forked from one that had opened an engine, whose threads are not here: "
            "open engines after forking only, or start processes by spawn"
        )


def is_forked() -> bool:
    """Returns whether this process was forked from one with an open device."""
    return _forked


def _after_fork() -> None:
    """In the child. Freeing a device, at the latest when the interpreter ends, would wait: they are kept for good."""
    global _forked
    _forked = _forked or bool(_devices)
    if _devices:
        # What is kept is reported as leaked otherwise, in a page of lines on standard error.
        from iree.runtime._binding import disable_leak_checker

        disable_leak_checker()
    for device in _devices:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(device))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
