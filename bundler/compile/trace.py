"""Traces a model to a program of neutral operators, the same for all targets. Knows nothing of files or archives."""

import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import torch

from sharkpack.bundler.compile.program import ProgramText
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel, last_rows
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES

EXAMPLE_TOKENS, EXAMPLE_PAGES = 7, 3
"""Sizes of a traced call: torch takes them neither for constants nor for other sizes."""


def trace(model: CausalModel, options: ModelOptions, batch_sizes: Iterable[int]) -> ProgramText:
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
    text = output.mlir_module.get_asm(assume_verified=True)
    return ProgramText(text=text, from_recipe=not model.plain_operators)


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
        # The rows of last tokens are normalised by themselves: as in a decode step, in the precision of the head.
        return m.head(m.norm(last_rows(x, tokens, start_positions, seq_lens))), cache, m.norm(x)


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
