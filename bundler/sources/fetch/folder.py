"""The folder of fetched models."""

import os
from pathlib import Path


def models_folder() -> Path:
    """SHARKPACK_MODELS, or sharkpack/models in XDG_CACHE_HOME, or that in ~/.cache."""
    own = os.environ.get("SHARKPACK_MODELS")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME", "")  # to be ignored unless absolute, says its specification
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "sharkpack" / "models"
