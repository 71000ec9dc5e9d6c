"""Maps a bundle's weights just before a program reads them.

A mapped file gets its pages at their first use, 64 KiB a fault: half of the time of a first token. Linux can map a
range at once; elsewhere this does nothing. Knows one convention of names: which tensor is the embedding table.
"""

import ctypes
import sys
import threading
from collections.abc import Iterator

import numpy as np

from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.device.memory import usable_memory

POPULATE_READ = 22
"""MADV_POPULATE_READ of Linux 5.14; an older kernel refuses it."""
PIECE_BYTES = 32 << 20


class WeightPrefetcher:
    """A thread that maps all weights but an embedding table of which only rows are read; it runs before the program.

    It ends by itself."""

    def __init__(self, archive: Archive) -> None:
        self._stopped = threading.Event()
        self._mapping = np.frombuffer(archive.mmap, np.uint8)
        self._ranges = list(weight_ranges(archive))
        self._thread = threading.Thread(target=self._run, name="sharkpack-weights", daemon=True)
        self._wanted = sys.platform == "linux" and sum(size for _, size in self._ranges) < usable_memory() // 2

    def start(self) -> None:
        """Begin, when the weights are about to be read, and not while what is loaded before needs memory of its own."""
        if self._wanted:
            self._wanted = False
            self._thread.start()

    def stop(self) -> None:
        """Let go of the mapping, within the time of a piece."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        del self._mapping

    def _run(self) -> None:
        madvise = ctypes.CDLL(None).madvise
        for offset, size in self._ranges:
            for start in range(offset, offset + size, PIECE_BYTES):
                length = min(PIECE_BYTES, offset + size - start)
                address = ctypes.c_void_p(self._mapping.ctypes.data + start)
                if self._stopped.is_set() or madvise(address, ctypes.c_size_t(length), POPULATE_READ) != 0:
                    return


def weight_ranges(archive: Archive) -> Iterator[tuple[int, int]]:
    """(offset, size) of what a token reads, in whole memory pages: neighbours in one piece."""
    page = 16384  # a multiple of every system's page; parameter files begin at one
    for parameters in archive.manifest.parameters:
        entries = dict(archive.parameter_index(parameters.path))
        if "output.weight" in entries:
            entries.pop("token_embd.weight", None)
        start = end = 0
        for offset, nbytes in sorted(entries.values()):
            if offset // page * page > end:
                if end > start:
                    yield start, end - start
                start = offset // page * page
            end = max(end, offset + nbytes)
        yield start, end - start
