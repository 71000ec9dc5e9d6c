"""A file mapped for reading: views that copy nothing, and pages that can be let go. Knows bytes, not formats."""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.file_kind import START_BYTES, describe_file, refuse_stand_in


class MappedFile:
    """`mapping` is the whole file; it stays mapped while views of it are alive, also after `close`."""

    def __init__(self, path: Path, mapping: mmap.mmap) -> None:
        self.path = path
        self.mapping = mapping

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Map the file at `path`; SharkpackError when it cannot be read or is empty."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise SharkpackError(f"{path}: the file is cut short: it is empty; download it again")
                mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except IsADirectoryError as error:
            raise SharkpackError(f"{path}: {describe_file(path)}") from error
        except OSError as error:
            raise SharkpackError(f"{path}: cannot be read: {error.strerror}") from error
        refuse_stand_in(path, mapping[:START_BYTES])
        return cls(path, mapping)

    def view(self, offset: int, nbytes: int) -> npt.NDArray[np.uint8]:
        """Those bytes: a read-only 1-D uint8 view on the mapping."""
        return np.frombuffer(self.mapping, np.uint8, nbytes, offset)

    def release(self, offset: int, nbytes: int) -> None:
        """Let the system drop the pages of those bytes; views stay valid and read from the file again."""
        start = -(-offset // mmap.PAGESIZE) * mmap.PAGESIZE
        if offset + nbytes > start:
            self.mapping.madvise(mmap.MADV_DONTNEED, start, offset + nbytes - start)

    def close(self) -> None:
        with suppress(BufferError):
            self.mapping.close()
