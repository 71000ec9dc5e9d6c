"""Archive -> device -> engine -> tokens. Imports iree.runtime, numpy, tokenizers, jinja2 and sharkpack.formats only.

Names load when first used, so that `import sharkpack.runtime_shim` costs nothing and start-up pays for what it runs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharkpack.runtime_shim.bundle import Bundle
    from sharkpack.runtime_shim.device import Device, Machine, Rejection, Selection, devices, select
    from sharkpack.runtime_shim.engine import Engine
    from sharkpack.runtime_shim.generation import Completion, Generation
    from sharkpack.runtime_shim.sampling import Sampling

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
    "Bundle": "bundle",
    "Completion": "generation",
    "Device": "device",
    "Engine": "engine",
    "Generation": "generation",
    "Machine": "device",
    "Rejection": "device",
    "Sampling": "sampling",
    "Selection": "device",
    "devices": "device",
    "select": "device",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
