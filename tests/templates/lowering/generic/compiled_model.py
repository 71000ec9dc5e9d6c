"""Compiles a traced model for a target; the result is callable like the model itself."""

from collections.abc import Callable, Sequence

import iree.runtime as rt
import torch
from torch import Tensor

from sharkpack.bundler.compile.compiler import compile_module
from sharkpack.bundler.compile.targets import Target
from sharkpack.bundler.compile.trace import trace
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.layers.recipe import CausalModel
from sharkpack.templates.lowering.lowering import link


class CompiledModel:
    """A compiled model. parameters: holds the weights. untraced: makes the model, which a trace changes."""

    def __init__(
        self,
        untraced: Callable[[], CausalModel],
        parameters: CausalModel,
        options: ModelOptions,
        batch_sizes: Sequence[int],
        target: Target,
    ) -> None:
        self.cache_layout = parameters.cache_layout
        text = link(trace(untraced(), options, batch_sizes).text, target.lowering)
        code = compile_module(text, target, verify=False)
        config, index = rt.Config("local-sync"), rt.ParameterIndex()
        for name, values in parameters.named_buffers():
            index.add_buffer(name, values.numpy().tobytes())
        modules = [
            rt.create_hal_module(config.vm_instance, config.device),
            rt.create_io_parameters_module(config.vm_instance, index.create_provider(scope="model")),
            rt.VmModule.copy_buffer(config.vm_instance, code),
        ]
        self._functions = rt.SystemContext(vm_modules=modules, config=config).modules["module"]

    def __call__(
        self, tokens: Tensor, start_positions: Tensor, seq_lens: Tensor, page_ids: Tensor, cache: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns logits, cache; one token of each sequence is a decode step, as `CausalModel.forward` has it."""
        count, each = tokens.shape
        where = (start_positions, seq_lens) if each > 1 else (seq_lens, start_positions)
        function = self._functions[f"{'prefill' if each > 1 else 'decode'}_bs{count}"]
        logits, cache_after, *_ = function(*(each.numpy() for each in (tokens, *where, page_ids, cache)))
        return torch.from_numpy(logits.to_host().copy()), torch.from_numpy(cache_after.to_host().copy())
