"""Bundles with something wrong in them, made from a sound one: right in their ZIP records, whatever they say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.formats.archive import archive_edits


def with_manifest(source: Path, target: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write to `target` the bundle `source`, its manifest changed in place by `change`; return `target`."""
    target.write_bytes(archive_edits.with_manifest(source.read_bytes(), change))
    return target
