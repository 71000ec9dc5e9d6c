"""The public API: a bundle, opened on a device of this machine, that turns prompts into text.

Imports iree.runtime, numpy, tokenizers, jinja2 and sharkpack.formats only. Names load when first used, so that
`import sharkpack.runtime_shim` costs nothing and start-up pays for what it runs.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharkpack.formats.host.cpu import Cpu
    from sharkpack.runtime_shim.bundle.bundle import Bundle
    from sharkpack.runtime_shim.device.requirements import DeviceFacts
    from sharkpack.runtime_shim.device.selection import Device, Machine, Rejection, Selection, devices, select
    from sharkpack.runtime_shim.engine.engine import Engine
    from sharkpack.runtime_shim.engine.info import EngineInfo
    from sharkpack.runtime_shim.engine.options import Options
    from sharkpack.runtime_shim.engine.sampling import Sampling
    from sharkpack.runtime_shim.engine.scores import Scores
    from sharkpack.runtime_shim.engine.stream import Completion, Stream
    from sharkpack.runtime_shim.errors import (
        BundleDamagedError,
        BundleError,
        BundleUnsupportedError,
        CacheFullError,
        ContextExceededError,
        DeviceFailedError,
        EngineClosedError,
        NoDeviceError,
        RequestError,
        SharkpackError,
    )
    from sharkpack.runtime_shim.executor.protocol import Executor, SequenceChunk
    from sharkpack.runtime_shim.text.chat import ChatTemplate
    from sharkpack.runtime_shim.text.control_tokens import ControlTokens
    from sharkpack.runtime_shim.text.messages import Message
    from sharkpack.runtime_shim.text.prompt import Prompt, PromptOptions, Tool

__all__ = [
    "Bundle",
    "BundleDamagedError",
    "BundleError",
    "BundleUnsupportedError",
    "CacheFullError",
    "ChatTemplate",
    "Completion",
    "ContextExceededError",
    "ControlTokens",
    "Cpu",
    "Device",
    "DeviceFacts",
    "DeviceFailedError",
    "Engine",
    "EngineClosedError",
    "EngineInfo",
    "Executor",
    "Machine",
    "Message",
    "NoDeviceError",
    "Options",
    "Prompt",
    "PromptOptions",
    "Rejection",
    "RequestError",
    "Sampling",
    "Scores",
    "Selection",
    "SequenceChunk",
    "SharkpackError",
    "Stream",
    "Tool",
    "devices",
    "select",
]

_HOME = {
    "Cpu": "sharkpack.formats.host.cpu",
    "Bundle": "sharkpack.runtime_shim.bundle.bundle",
    "DeviceFacts": "sharkpack.runtime_shim.device.requirements",
    "Device": "sharkpack.runtime_shim.device.selection",
    "Machine": "sharkpack.runtime_shim.device.selection",
    "Rejection": "sharkpack.runtime_shim.device.selection",
    "Selection": "sharkpack.runtime_shim.device.selection",
    "devices": "sharkpack.runtime_shim.device.selection",
    "select": "sharkpack.runtime_shim.device.selection",
    "Engine": "sharkpack.runtime_shim.engine.engine",
    "EngineInfo": "sharkpack.runtime_shim.engine.info",
    "Options": "sharkpack.runtime_shim.engine.options",
    "Sampling": "sharkpack.runtime_shim.engine.sampling",
    "Scores": "sharkpack.runtime_shim.engine.scores",
    "Completion": "sharkpack.runtime_shim.engine.stream",
    "Stream": "sharkpack.runtime_shim.engine.stream",
    "BundleDamagedError": "sharkpack.runtime_shim.errors",
    "BundleError": "sharkpack.runtime_shim.errors",
    "BundleUnsupportedError": "sharkpack.runtime_shim.errors",
    "CacheFullError": "sharkpack.runtime_shim.errors",
    "ContextExceededError": "sharkpack.runtime_shim.errors",
    "DeviceFailedError": "sharkpack.runtime_shim.errors",
    "EngineClosedError": "sharkpack.runtime_shim.errors",
    "NoDeviceError": "sharkpack.runtime_shim.errors",
    "RequestError": "sharkpack.runtime_shim.errors",
    "SharkpackError": "sharkpack.runtime_shim.errors",
    "Executor": "sharkpack.runtime_shim.executor.protocol",
    "SequenceChunk": "sharkpack.runtime_shim.executor.protocol",
    "ChatTemplate": "sharkpack.runtime_shim.text.chat",
    "ControlTokens": "sharkpack.runtime_shim.text.control_tokens",
    "Message": "sharkpack.runtime_shim.text.messages",
    "Prompt": "sharkpack.runtime_shim.text.prompt",
    "PromptOptions": "sharkpack.runtime_shim.text.prompt",
    "Tool": "sharkpack.runtime_shim.text.prompt",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
