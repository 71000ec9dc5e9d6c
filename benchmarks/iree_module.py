"""Compiles kernels for this very CPU and opens them in this process. Importing it loads IREE."""

from collections.abc import Mapping
from typing import Any

import iree.runtime as rt
import numpy as np
import numpy.typing as npt

from benchmarks.peak_kernels import SCOPE
from sharkpack.bundler.compile.compiler import compile_module
from sharkpack.bundler.compile.targets import best_of_host
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.runtime_shim.executor.loading import lend
from sharkpack.templates.lowering.cpu import Cpu

TARGET = best_of_host(host_cpu().architecture, host_cpu().features)
assert isinstance(TARGET.lowering, Cpu)
ISA = TARGET.lowering.isa


def open_device(threads: int) -> Any:
    """IREE's device with so many threads; the first call decides for the whole process."""
    if threads == 1:
        return rt.get_device("local-sync")
    rt.flags.parse_flags(f"--task_topology_group_count={threads}")
    return rt.get_device("local-task")


def load(text: str, device: Any, parameters: Mapping[str, npt.NDArray[np.uint8]] | None = None) -> Any:
    """The module of this MLIR, whose functions are found by name. Parameters are read where they lie in memory, which
    has to stay there."""
    config = rt.Config(device=device)
    modules = [rt.VmModule.copy_buffer(config.vm_instance, compile_module(text, TARGET))]
    if parameters:
        index = rt.ParameterIndex()
        for name, memory in parameters.items():
            index.add_from_file_handle(name, lend(memory), memory.nbytes)
        modules.insert(0, rt.create_io_parameters_module(config.vm_instance, index.create_provider(scope=SCOPE)))
    return rt.load_vm_modules(*modules, config=config)[-1]
