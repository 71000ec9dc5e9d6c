"""The content of a small, cold member as one zstd frame, made before there is an archive to add it to."""

from dataclasses import dataclass

import zstandard

_LEVEL = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """The frame, and how many bytes its content has."""

    frame: bytes
    content_size: int

    @classmethod
    def of(cls, content: bytes) -> "Compressed":
        """The same bytes for the same content; lets other threads run while it works."""
        return cls(frame=zstandard.ZstdCompressor(level=_LEVEL).compress(content), content_size=len(content))
