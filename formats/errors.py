"""The errors that reach a user: a sentence with what was found, what was expected and what to do."""


class SharkpackError(Exception):
    """Bad input or an environment that cannot serve it; the message is one line that a user can act on."""


class BundleError(SharkpackError):
    """A file that cannot be opened, or that is no bundle."""


class BundleDamagedError(BundleError):
    """A bundle whose bytes are not those that were written, or that contradicts itself."""


class BundleUnsupportedError(BundleError):
    """A sound bundle that this version of sharkpack, or of the IREE runtime, cannot serve."""
