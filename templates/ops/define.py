"""Makes a torch operator of a declared one and its eager reference."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from sharkpack.templates.lowering.operators import Operator, Result
from sharkpack.templates.lowering.parse import NAMESPACE

P = ParamSpec("P")
R = TypeVar("R")

_DTYPES = {"f32": torch.float32, "si64": torch.int64}


def operator(declared: Operator) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorates the eager reference: its schema, and what it returns in a trace, are the declaration's."""

    def define(eager: Callable[P, R]) -> Callable[P, R]:
        name = f"{NAMESPACE}::{declared.name}"
        made = torch.library.custom_op(name, eager, mutates_args=(), schema=declared.schema)
        made.register_fake(lambda *arguments: _fake(declared, arguments))
        return cast(Callable[P, R], made)

    return define


def _fake(declared: Operator, arguments: tuple[Any, ...]) -> Tensor | tuple[Tensor, ...]:
    given = dict(zip(declared.arguments, arguments, strict=True))
    made = tuple(_empty(result, given) for result in declared.results.values())
    return made[0] if len(made) == 1 else made


def _empty(result: Result, given: dict[str, Any]) -> Tensor:
    like: Tensor = given[result.of]
    dtype = like.dtype if result.element is None else _DTYPES[result.element]
    if not result.width:
        return torch.empty_like(like, dtype=dtype)
    width = 1
    for factor in result.width:
        width *= given[factor].shape[-1] if isinstance(given[factor], Tensor) else given[factor]
    return like.new_empty((like.shape[0], width), dtype=dtype)
