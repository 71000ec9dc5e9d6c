"""loading: what IREE holds of Python's while it uses the weights."""

import sys
from pathlib import Path

import iree.runtime as rt
import numpy as np

from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.device.hal import open_device
from sharkpack.runtime_shim.executor import loading


def test_letting_go_of_the_weights_frees_nothing_of_the_interpreter(toy_bundle: Path) -> None:
    """A worker may be the last to let go, without the interpreter's lock: the mapping must not depend on it."""
    archive = Archive.open(toy_bundle)
    memory = np.frombuffer(archive.mmap, np.uint8)
    handle = loading.lend(memory)
    lent = loading._lent[-1]
    assert bytes(handle.host_allocation[:4]) == bytes(archive.mmap[:4])
    del memory
    archive.close()
    assert archive.mmap.closed
    del handle
    assert sys.getrefcount(lent) == 3, "ours, the list's and the question's"


def test_the_memory_keeps_the_archive_mapped(toy_bundle: Path) -> None:
    archive = Archive.open(toy_bundle)
    target = archive.manifest.targets[0]
    modules, memory = loading.load_modules(archive, target, rt.VmInstance(), open_device("local-sync", 1))
    assert len(modules) == 3
    assert memory.nbytes == archive.size
    del modules
    archive.close()
    assert not archive.mmap.closed
    del memory
    archive.close()
    assert archive.mmap.closed
