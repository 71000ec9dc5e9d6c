"""Model specs: what a build needs of a model besides its program. The compile cache keeps it, so that torch need not be
loaded.

Imports from bundler: background, compile, progress, sources.
"""

from sharkpack.bundler.model_spec.spec import ModelSpec

__all__ = ["ModelSpec"]
