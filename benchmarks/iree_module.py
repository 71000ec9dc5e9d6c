"""Compiles kernels for this very CPU and opens them in this process. Importing it loads IREE."""

from typing import Any

import iree.runtime as rt

from sharkpack.bundler.compiler import compile_module, host_cpu
from sharkpack.bundler.targets import best_of_host

TARGET = best_of_host(*host_cpu())


def open_device(threads: int) -> Any:
    """IREE's device with so many threads; the first call decides for the whole process."""
    if threads == 1:
        return rt.get_device("local-sync")
    rt.flags.parse_flags(f"--task_topology_group_count={threads}")
    return rt.get_device("local-task")


def load(text: str, device: Any) -> Any:
    """The module of this MLIR, whose functions are found by name."""
    config = rt.Config(device=device)
    return rt.load_vm_module(rt.VmModule.copy_buffer(config.vm_instance, compile_module(text, TARGET)), config)
