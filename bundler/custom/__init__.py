"""Models that are nobody's architecture: a torch module that a user's program makes, checked against the ABI."""

from sharkpack.bundler.custom.custom_program import CustomProgram

__all__ = ["CustomProgram"]
