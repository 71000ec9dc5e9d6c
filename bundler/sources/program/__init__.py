"""Models that are nobody's architecture: a torch module that a user's program makes, checked against the ABI."""

from sharkpack.bundler.sources.program.custom_model import CustomModel

__all__ = ["CustomModel"]
