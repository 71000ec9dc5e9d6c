"""A target's code and its weights as IREE's modules, used where they lie in the archive. Knows no entry point."""

import hashlib
from typing import Any

import iree.runtime as rt

from sharkpack.formats.archive_reader import Archive
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.manifest import TargetInfo


def load_modules(archive: Archive, target: TargetInfo, instance: rt.VmInstance, device: Any) -> list[rt.VmModule]:
    """The parameters, the device and, last, the program. Raises SharkpackError for code that is not the manifest's."""
    code = archive.view(target.path)
    _check_hash(archive, target.path, code)
    return [
        rt.create_io_parameters_module(instance, *_parameter_providers(archive)),
        rt.create_hal_module(instance, device),
        rt.VmModule.wrap_buffer(instance, code),
    ]


def _parameter_providers(archive: Archive) -> list[rt.ParameterProvider]:
    """Every tensor of every parameter file, as a range of the one mapping: nothing is copied."""
    handle = rt.FileHandle.wrap_memory(archive.mmap)
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
        raise SharkpackError(
            f"{archive.path}: member {path!r} is damaged: its SHA-256 differs; get or build the bundle again"
        )
