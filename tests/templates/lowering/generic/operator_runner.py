"""Compiles operators in portable linalg for the generic target of this machine, and calls them one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import iree.runtime as rt
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharkpack.bundler.compile.compiler import compile_module
from sharkpack.bundler.compile.targets import TARGETS, Target
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.templates import ops
from sharkpack.templates.lowering.generic import Generic
from sharkpack.templates.lowering.operators import OPERATORS
from sharkpack.templates.lowering.program import Function, OperatorCall, Value

_ELEMENTS = {
    torch.float32: "f32",
    torch.float16: "f16",
    torch.int8: "si8",
    torch.int64: "si64",
}
_ROWS = ("x", "gate", "up", "residual", "tokens", "logits", "chosen", "q", "k", "v", "angles", "cache")
"""Tensors whose first size is known at run time only."""


def generic_target() -> Target:
    """Returns the generic target of this machine's architecture."""
    return TARGETS[{"x86_64": "generic-x86-64", "aarch64": "generic-aarch64"}[host_cpu().architecture]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A call of an operator on numbers. fixed: whether its rows are known when it is compiled."""

    operator: str
    inputs: Mapping[str, Tensor | None]
    static: Mapping[str, Any]
    fixed: bool = False

    def expected(self) -> list[Tensor]:
        """Returns the results of the eager reference."""
        declared = OPERATORS[self.operator]
        tensors = [self.inputs.get(name) for name in declared.tensors]
        found = getattr(ops, self.operator)(*tensors, *(self.static[name] for name in declared.static))
        return list(found) if isinstance(found, tuple) else [found]

    def function(self, name: str) -> Function:
        """Returns a function that consists of this call."""
        declared = OPERATORS[self.operator]
        inputs = {each: self._value(each, self.inputs.get(each)) for each in declared.tensors}
        made = zip(declared.results, self.expected(), strict=True)
        results = {each: Value(f"%made_{each}", self._shape(tensor), _ELEMENTS[tensor.dtype]) for each, tensor in made}
        call = OperatorCall(self.operator, inputs, results, {each: self.static[each] for each in declared.static})
        given = [value for value in inputs.values() if value is not None]
        types = ", ".join(value.torch_type for value in results.values())
        header = f"  func.func @{name}({', '.join(f'{v.name}: {v.torch_type}' for v in given)}) -> ({types}) {{"
        last = f"    return {', '.join(value.name for value in results.values())} : {types}"
        return Function(name, header, (call, last), frozenset(value.name for value in results.values()), {})

    def _value(self, name: str, tensor: Tensor | None) -> Value | None:
        if tensor is None:
            return None
        shape: tuple[int | None, ...] = self._shape(tensor) if name in _ROWS else tuple(tensor.shape)
        if name == "page_ids":
            shape = (tensor.shape[0], None)
        return Value(f"%{name}", shape, _ELEMENTS[tensor.dtype])

    def _shape(self, tensor: Tensor) -> tuple[int | None, ...]:
        return tuple(tensor.shape) if self.fixed else (None, *tensor.shape[1:])


class OperatorRunner:
    """Cases by name, each a function of one module."""

    def __init__(self, cases: Mapping[str, Case]) -> None:
        self.cases = cases
        lowered = [Generic().lower(case.function(name)) for name, case in cases.items()]
        definitions = {name: each for found in lowered for name, each in found.definitions.items()}
        lines = ["module @module {", *(definition.write() for definition in definitions.values())]
        for (name, case), found in zip(cases.items(), lowered, strict=True):
            lines += [case.function(name).header, *found.body, "  }"]
        config = rt.Config("local-sync")
        code = compile_module("\n".join([*lines, "}"]), generic_target(), verify=False)
        self._module = rt.load_vm_module(rt.VmModule.copy_buffer(config.vm_instance, code), config)

    def __call__(self, name: str) -> Sequence[NDArray[Any]]:
        case = self.cases[name]
        inputs = [case.inputs.get(each) for each in OPERATORS[case.operator].tensors]
        found = self._module[name](*(tensor.numpy() for tensor in inputs if tensor is not None))
        return [np.array(each.to_host()) for each in (found if isinstance(found, tuple) else (found,))]
