"""The errors of the runtime, by what a caller would do about them: each is a SharkpackError with one line to act on.

docs/runtime.md has the table of all of them.
"""

from sharkpack.formats.errors import BundleDamagedError, BundleError, BundleUnsupportedError, SharkpackError

__all__ = [
    "BundleDamagedError",
    "BundleError",
    "BundleUnsupportedError",
    "CacheFullError",
    "ContextExceededError",
    "DeviceFailedError",
    "EngineClosedError",
    "NoDeviceError",
    "RequestError",
    "SharkpackError",
]


class RequestError(SharkpackError):
    """A prompt, an option or an argument that cannot be served as it is given."""


class ContextExceededError(RequestError):
    """A prompt of more tokens than a sequence may have.

    tokens: how many it has; where counting ended early, a number that it has at least. context_length: how many it
    may have.
    """

    def __init__(self, message: str, tokens: int = 0, context_length: int = 0) -> None:
        super().__init__(message)
        self.tokens = tokens
        self.context_length = context_length


class CacheFullError(SharkpackError):
    """No room in the key/value cache, or no memory for one as large as was asked for."""


class NoDeviceError(SharkpackError):
    """No device of this machine, or of this process, runs any target that may be taken."""


class DeviceFailedError(SharkpackError):
    """A call of the program failed on the device: it ends all that the engine is generating."""


class EngineClosedError(SharkpackError):
    """The engine has been closed, before the call or while it was under way."""
