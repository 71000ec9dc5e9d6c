"""Archive -> device -> engine -> tokens. Imports iree.runtime, numpy, tokenizers, jinja2 and sharkpack.formats only.

Names load when first used, so that `import sharkpack.runtime_shim` costs nothing and start-up pays for what it runs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharkpack.runtime_shim.bundle.bundle import Bundle
    from sharkpack.runtime_shim.device.selection import Device, Machine, Rejection, Selection, devices, select
    from sharkpack.runtime_shim.engine.engine import Engine
    from sharkpack.runtime_shim.engine.generation import Completion, Generation
    from sharkpack.runtime_shim.engine.sampling import Sampling

__all__ = [
    "Bundle",
    "Completion",
    "Device",
    "Engine",
    "Generation",
    "Machine",
    "Rejection",
    "Sampling",
    "Selection",
    "devices",
    "select",
]

_HOME = {
    "Bundle": "bundle.bundle",
    "Completion": "engine.generation",
    "Device": "device.selection",
    "Engine": "engine.engine",
    "Generation": "engine.generation",
    "Machine": "device.selection",
    "Rejection": "device.selection",
    "Sampling": "engine.sampling",
    "Selection": "device.selection",
    "devices": "device.selection",
    "select": "device.selection",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
