"""Traces a model to one MLIR program whose operators are calls of declared kernels.

The trace is shared by all targets; only the kernels' bodies differ. Knows nothing of files or archives.
"""

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch
from iree.compiler import ir

from sharkpack.bundler.compile.program import PARAMETER_SCOPE, Program
from sharkpack.templates.kernel_table import KERNELS, Call
from sharkpack.templates.kernels.kernel import Kernel
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel, last_rows
from sharkpack.templates.ops import NAMESPACE
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES

OPERATOR_PREFIX = f"torch.{NAMESPACE}."

EXAMPLE_TOKENS, EXAMPLE_PAGES = 7, 3
"""Of a call that is traced: what torch takes neither for a constant nor for another size."""


def trace(model: CausalModel, options: ModelOptions, batch_sizes: Iterable[int]) -> Program:
    """Export `prefill_bs{N}` and `decode_bs{N}` for each batch size, and `head`."""
    import iree.turbine.aot as aot

    _end_search_for_torch_dialect()
    aot.externalize_module_parameters(model, external_scope=PARAMETER_SCOPE)
    programs = aot.FxProgramsBuilder(model)
    sizes = tuple(batch_sizes)
    # Half of the time of a trace would go into decomposing operators that recipes do not use.
    with torch.no_grad(), aot.decompositions.extend_aot_decompositions(from_current=model.plain_operators):
        for size in sizes:
            _export_prefill(programs, model, options, size)
            _export_decode(programs, model, options, size)
        _export_head(programs, model, options)
    output = aot.export(programs, import_symbolic_shape_expressions=False)
    operation = output.mlir_module
    lowering = _Lowering()
    with operation.context, ir.Location.unknown():
        lowering.run(operation)
        # The calls' callees come with `link`: the module is whole only then.
        text = operation.get_asm(assume_verified=True)
    kernels = tuple(lowering.kernels[name] for name in sorted(lowering.kernels))
    return Program(
        text=text,
        kernels=kernels,
        entry_points=(*(f"{kind}_bs{size}" for size in sizes for kind in ("prefill", "decode")), "head"),
    )


def _end_search_for_torch_dialect() -> None:
    """IREE's bindings look on disk for this module, which its wheels lack, at each operation that they touch: a fifth
    of the time of a trace. An empty module ends the search, and operations stay as generic as they were."""
    name = "iree.compiler.dialects.torch"
    if name not in sys.modules and importlib.util.find_spec(name) is None:
        sys.modules[name] = ModuleType(name)


def _arguments(model: CausalModel, options: ModelOptions, size: int, tokens: int) -> tuple[torch.Tensor, ...]:
    dtype = CACHE_DTYPES[options.cache_dtype]
    device = "cpu" if model.plain_operators else "meta"
    cache = torch.empty(8, model.cache_layout.page_elements, dtype=dtype, device=device)
    whole = torch.zeros(size, dtype=torch.int64)
    return (
        torch.zeros(size, tokens, dtype=torch.int64),
        whole,
        whole + 1,
        torch.zeros(size, EXAMPLE_PAGES, dtype=torch.int64),
        cache,
    )


def _dynamic(options: ModelOptions) -> tuple[Any, Any]:
    width = _dimension("table_width", -(-options.context_length // options.page_size) + 1, EXAMPLE_PAGES)
    return width, torch.export.Dim("pages", min=2, max=2**31)


def _dimension(name: str, largest: int, example: int) -> Any:
    """From 1 to the largest; a range has to hold the example, however short the context."""
    return torch.export.Dim(name, min=1, max=max(largest, example))


def _export_prefill(programs: Any, model: CausalModel, options: ModelOptions, size: int) -> None:
    width, pages = _dynamic(options)
    length = _dimension("length", options.context_length, EXAMPLE_TOKENS)
    tokens, starts, lens, ids, cache = _arguments(model, options, size, EXAMPLE_TOKENS)

    @programs.export_program(
        args=(tokens, starts, lens, ids, cache),
        dynamic_shapes=({1: length}, None, None, {1: width}, {0: pages}),
        name=f"prefill_bs{size}",
        strict=False,
    )
    def prefill(m, tokens, start_positions, seq_lens, page_ids, cache):  # type: ignore[no-untyped-def]
        x, cache = m.hidden(tokens, start_positions, seq_lens, page_ids, cache)
        return m.head(last_rows(x, tokens, start_positions, seq_lens)), cache, x


def _export_decode(programs: Any, model: CausalModel, options: ModelOptions, size: int) -> None:
    width, pages = _dynamic(options)
    tokens, starts, lens, ids, cache = _arguments(model, options, size, 1)

    @programs.export_program(
        args=(tokens, lens, starts, ids, cache),
        dynamic_shapes=(None, None, None, {1: width}, {0: pages}),
        name=f"decode_bs{size}",
        strict=False,
    )
    def decode(m, tokens, seq_lens, start_positions, page_ids, cache):  # type: ignore[no-untyped-def]
        return m(tokens, start_positions, seq_lens, page_ids, cache)


def _export_head(programs: Any, model: CausalModel, options: ModelOptions) -> None:
    rows, example = _dimension("rows", options.context_length, EXAMPLE_TOKENS), torch.zeros(EXAMPLE_TOKENS, model.dim)

    @programs.export_program(args=(example,), dynamic_shapes=({0: rows},), name="head", strict=False)
    def head(m, hidden):  # type: ignore[no-untyped-def]
        return m.head(hidden)


@dataclass
class _Lowering:
    """Replaces each operator of ours by a call of its kernel's function, which is declared in the module."""

    kernels: dict[str, Kernel] = field(default_factory=dict)

    def run(self, module: Any) -> None:
        found: list[Any] = []

        def visit(op: Any) -> Any:
            if op.name == "torch.operator" and ir.StringAttr(op.attributes["name"]).value.startswith(OPERATOR_PREFIX):
                found.append(op)
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
        for op in found:
            self._replace(op)

    def _replace(self, op: Any) -> None:
        name = ir.StringAttr(op.attributes["name"]).value.removeprefix(OPERATOR_PREFIX)
        schema = getattr(getattr(torch.ops, NAMESPACE), name).default._schema
        scalars: dict[str, Any] = {}
        tensors: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for argument, operand in zip(schema.arguments, op.operands, strict=True):
            kind = str(operand.type)
            if kind.startswith("!torch.vtensor"):
                values[argument.name] = operand
                tensors[argument.name] = _parse_tensor(kind)
            elif kind == "!torch.none":
                tensors[argument.name] = None
            else:
                scalars[argument.name] = _constant(operand)
        kernel = KERNELS[name](Call(scalars, tensors))
        self.kernels[kernel.name] = kernel
        _emit_call(op, kernel, scalars, values)


def _parse_tensor(kind: str) -> tuple[tuple[int | None, ...], str]:
    """'!torch.vtensor<[?,576],f32>' -> ((None, 576), 'f32')"""
    shape, element = kind.removeprefix("!torch.vtensor<[").removesuffix(">").split("],")
    sizes = tuple(None if size == "?" else int(size) for size in shape.split(",")) if shape else ()
    return sizes, element


def _constant(operand: Any) -> Any:
    op = operand.owner
    value = op.attributes["value"]
    if op.name == "torch.constant.str":
        return ir.StringAttr(value).value
    if op.name == "torch.constant.float":
        return ir.FloatAttr(value).value
    if op.name == "torch.constant.bool":
        return bool(ir.IntegerAttr(value).value)
    assert op.name == "torch.constant.int", f"an operator of ours has a run-time scalar: {op}"
    return ir.IntegerAttr(value).value


def _emit_call(op: Any, kernel: Kernel, scalars: dict[str, Any], values: dict[str, Any]) -> None:
    """torch tensors -> builtin tensors of the kernel's (dynamic) shapes -> call -> back."""
    i32 = ir.IntegerType.get_signless(32)
    with ir.InsertionPoint(op):
        arguments = [
            ir.Operation.create(
                "arith.constant", results=[i32], attributes={"value": ir.IntegerAttr.get(i32, scalars[name])}
            ).result
            for name in kernel.operands
        ]
        for binding in kernel.inputs:
            value = values[binding.name]
            builtin = _builtin_type(str(value.type))
            value = ir.Operation.create("torch_c.to_builtin_tensor", results=[builtin], operands=[value]).result
            arguments.append(_cast(value, ir.Type.parse(f"tensor<{binding.tensor}>")))
        types = [ir.Type.parse(f"tensor<{b.tensor}>") for b in kernel.outputs]
        call = ir.Operation.create(
            "util.call", results=types, operands=arguments, attributes={"callee": ir.FlatSymbolRefAttr.get(kernel.name)}
        )
        for result, made in zip(op.results, call.results, strict=True):
            value = _cast(made, _builtin_type(str(result.type)))
            value = ir.Operation.create("torch_c.from_builtin_tensor", results=[result.type], operands=[value]).result
            result.replace_all_uses_with(value)
    op.erase()


def _cast(value: Any, type: Any) -> Any:
    if value.type == type:
        return value
    return ir.Operation.create("tensor.cast", results=[type], operands=[value]).result


def _builtin_type(kind: str) -> Any:
    sizes, element = _parse_tensor(kind)
    element = element.removeprefix("s") if element.startswith("si") else element
    shape = "".join("?x" if size is None else f"{size}x" for size in sizes)
    return ir.Type.parse(f"tensor<{shape}{element}>")
