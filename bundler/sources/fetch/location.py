"""Where a model lies on this machine once whatever it takes has been fetched, and what it is called."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A file or a folder; `name` and `origin` (what a bundle says of its source) where the path does not say them."""

    path: Path
    name: str | None = None
    origin: str | None = None
