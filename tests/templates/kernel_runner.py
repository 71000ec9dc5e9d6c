"""Compiles kernels alone and calls them with numpy arrays: what the kernel tests share."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import iree.compiler as compiler
import iree.runtime as rt
import numpy as np
import torch

from sharkpack.bundler.compile.targets import TARGETS
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.templates.kernels.isa import PORTABLE, Isa
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.lowering.cpu import Cpu

HOST = (
    "--iree-hal-target-device=local",
    "--iree-hal-local-target-device-backends=llvm-cpu",
    "--iree-llvmcpu-target-cpu=host",
)
FLAGS = {target.lowering.isa.name: target.flags for target in TARGETS.values() if isinstance(target.lowering, Cpu)}


def isas_here() -> list[Isa]:
    """The instruction sets that this machine can run."""
    cpu = host_cpu()
    fitting = [t for t in TARGETS.values() if t.architecture == cpu.architecture and cpu.features >= {*t.cpu_features}]
    return [PORTABLE, *(target.lowering.isa for target in fitting if isinstance(target.lowering, Cpu))]


def unlike_isas_here() -> list[Isa]:
    """The least and the best of them: enough where integer dot products, look-ups and halves are not what is tested."""
    found = isas_here()[1:] or [PORTABLE]
    return list(dict.fromkeys([found[0], found[-1]]))


def module_text(kernels: Sequence[Kernel], isa: Isa) -> str:
    """A module that exports each kernel's function as `call_<name>`."""
    parts = [k.layout_alias for k in kernels] + ["module @module {"]
    for kernel in kernels:
        parameters = [f"%{n}: i32" for n in kernel.operands] + [f"%{b.name}: tensor<{b.tensor}>" for b in kernel.inputs]
        types = ["i32"] * len(kernel.operands) + [f"tensor<{b.tensor}>" for b in kernel.inputs]
        names = ", ".join([f"%{n}" for n in kernel.operands] + [f"%{b.name}" for b in kernel.inputs])
        results = ", ".join(f"tensor<{b.tensor}>" for b in kernel.outputs)
        parts += [
            kernel.render(isa),
            f"func.func @call_{kernel.name}({', '.join(parameters)}) -> ({results}) {{",
            f"  %made:{len(kernel.outputs)} = util.call @{kernel.name}({names}) : ({', '.join(types)}) -> ({results})",
            f"  return {', '.join(f'%made#{i}' for i in range(len(kernel.outputs)))} : {results}\n}}",
        ]
    return "\n".join([*parts, "}"])


class KernelRunner:
    """Some kernels compiled for one instruction set, callable with numpy arrays and torch tensors.

    They are compiled as two modules at once: of one, the compiler makes code in one thread.
    """

    def __init__(self, kernels: Sequence[Kernel], isa: Isa, *, device: str = "local-sync") -> None:
        config = rt.Config(device)
        halves = [half for half in (kernels[::2], kernels[1::2]) if half]
        with ThreadPoolExecutor() as threads:
            codes = threads.map(lambda half: _compile(half, isa), halves)
        self.functions: dict[str, Callable[..., Any]] = {}
        for half, code in zip(halves, codes, strict=True):
            module = rt.load_vm_module(rt.VmModule.copy_buffer(config.vm_instance, code), config)
            self.functions |= {kernel.name: module[f"call_{kernel.name}"] for kernel in half}

    def __call__(self, kernel: Kernel, *arguments: object) -> list[np.ndarray]:
        """Scalars as ints, tensors as numpy arrays or torch tensors; returns the outputs."""
        values = [a.numpy() if isinstance(a, torch.Tensor) else a for a in arguments]
        found = self.functions[kernel.name](*values)
        found = found if isinstance(found, tuple) else (found,)
        return [np.array(item.to_host()) for item in found]


def _compile(kernels: Sequence[Kernel], isa: Isa) -> bytes:
    code: bytes = compiler.compile_str(module_text(kernels, isa), extra_args=list(FLAGS.get(isa.name, HOST)))
    return code
