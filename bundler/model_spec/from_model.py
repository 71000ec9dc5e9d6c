"""The model spec of a model that is there, with the digest of all that a trace reads of it."""

from typing import Any

import torch

from sharkpack.bundler.compile.cache.digest import UnkeyableError, digest
from sharkpack.bundler.model_spec.spec import ModelSpec
from sharkpack.templates.layers.recipe import CausalModel

_OWN_CODE = ("sharkpack.templates.", "torch.nn.")
_FRAMEWORK_STATE = frozenset(vars(torch.nn.Module()))


def spec_of_model(model: CausalModel) -> ModelSpec:
    """Returns the spec of a model."""
    return ModelSpec(
        vocab_size=model.vocab_size,
        cache_layout=model.cache_layout,
        weights=model.weights,
        state=_state(model),
        make=lambda: model,
    )


def _state(model: CausalModel) -> str | None:
    """None of a model with state, or code from elsewhere, that no digest can stand for."""
    try:
        return digest([_module_state(name, module) for name, module in model.named_modules(remove_duplicate=False)])
    except UnkeyableError:
        return None


def _module_state(name: str, module: torch.nn.Module) -> list[Any]:
    kind = type(module)
    if not kind.__module__.startswith(_OWN_CODE):
        raise UnkeyableError(f"{kind.__module__}.{kind.__qualname__}")
    tensors = [
        [key, None if value is None else [str(value.dtype), list(value.shape)]]
        for group in (module._parameters, module._buffers)
        for key, value in group.items()
    ]
    own = {key: value for key, value in vars(module).items() if key not in _FRAMEWORK_STATE}
    return [name, f"{kind.__module__}.{kind.__qualname__}", tensors, own]
