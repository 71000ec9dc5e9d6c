"""The place of a fetched model on this machine, and its name."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A file or a folder; `name` and `origin` (what a bundle says of its source) where the path does not say them."""

    path: Path
    name: str | None = None
    origin: str | None = None
