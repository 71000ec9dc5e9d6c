"""A target's code and its weights as IREE's modules, used where they lie in the archive. Knows no entry point."""

import ctypes
import hashlib
from typing import Any

import iree.runtime as rt
import numpy as np
import numpy.typing as npt

from sharkpack.formats.archive.manifest import TargetInfo
from sharkpack.formats.archive.reader import Archive
from sharkpack.runtime_shim.errors import BundleDamagedError

_lent: list[Any] = []
"""What IREE was given for memory, one small object a load, kept for good: see `lend`."""


def load_modules(
    archive: Archive, target: TargetInfo, instance: rt.VmInstance, device: Any
) -> tuple[list[rt.VmModule], npt.NDArray[np.uint8]]:
    """(the parameters, the device and, last, the program; the memory of the weights, u8 [bytes of the archive]).

    The modules use the memory, and it is for the caller to keep as long as they run: the archive stays mapped for it.
    Raises SharkpackError for code that is not the manifest's.
    """
    code = archive.view(target.path)
    _check_hash(archive, target.path, code)
    memory = np.frombuffer(archive.mmap, np.uint8)
    modules = [
        rt.create_io_parameters_module(instance, *_parameter_providers(archive, lend(memory))),
        rt.create_hal_module(instance, device),
        rt.VmModule.wrap_buffer(instance, code),
    ]
    return modules, memory


def lend(memory: npt.NDArray[np.uint8]) -> rt.FileHandle:
    """A handle to memory that IREE may let go of on any thread.

    The last to hold weights may be a worker that is still tidying up after a call, and IREE drops the Python object
    there without the interpreter's lock. Were it the mapping, it would be unmapped there too, and the interpreter
    aborts ("PyThreadState_Get: the GIL is released"). So IREE gets an object that owns nothing, that nobody else
    touches, and that is not the worker's to free: 150 bytes a load.
    """
    window = (ctypes.c_char * memory.nbytes).from_address(memory.ctypes.data)
    _lent.append(window)
    return rt.FileHandle.wrap_memory(window)


def _parameter_providers(archive: Archive, handle: rt.FileHandle) -> list[rt.ParameterProvider]:
    """Every tensor of every parameter file, as a range of the one mapping: nothing is copied."""
    providers = []
    for parameters in archive.manifest.parameters:
        entries = archive.parameter_index(parameters.path)
        index = rt.ParameterIndex()
        index.reserve(len(entries))
        for name, (offset, nbytes) in entries.items():
            index.add_from_file_handle(name, handle, nbytes, offset=offset)
        providers.append(index.create_provider(scope=parameters.scope))
    return providers


def _check_hash(archive: Archive, path: str, code: memoryview) -> None:
    """Code is run as it is, so its hash is checked each time; weights can only be wrong, and `verify` is for them."""
    if hashlib.sha256(code).hexdigest() != archive.member(path).sha256:
        raise BundleDamagedError(
            f"{archive.path}: member {path!r} is damaged: its SHA-256 differs; get or build the bundle again"
        )
