"""`program.py:factory` as a source model: runs the file that the user named, and takes what its factory returns."""

import importlib.util
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.program.custom_model import CustomModel, LanguageModel
from sharkpack.bundler.sources.program.program_source import program_source
from sharkpack.bundler.sources.program_description import check_description
from sharkpack.bundler.sources.tensors import SourceTensor, TensorMadeByRows
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.one_line import one_line
from sharkpack.formats.packing import RowOrder

TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32"}
"""What parameters and buffers may be, by the names that parameter files have for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleTensor(TensorMadeByRows):
    """A parameter or buffer of a module, which keeps it in memory."""

    name: str
    tensor: torch.Tensor = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)

    @property
    def type_name(self) -> str:
        return TYPES[self.tensor.dtype]

    @property
    def nbytes(self) -> int:
        return self.tensor.nbytes

    def rows(self, index: slice | RowOrder) -> NDArray[np.uint8]:
        values: NDArray[np.uint8] = self.tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
        return values.reshape(math.prod(self.shape[:-1]), -1)[index]

    def release(self) -> None:
        """It is the module's."""


def open_custom(path: Path, factory: str | None) -> SourceModel:
    """Run the program at `path` and call its `factory`. Raises SharkpackError for whatever goes wrong in there, and
    for what cannot be a language model."""
    if not path.is_file():
        raise SharkpackError(f"{path}: no such file; expected a program as program.py:factory")
    if not factory:
        raise SharkpackError(f"{path}: which function makes the model? name it as {path}:factory")
    made = _call(f"{path}:{factory}", _find(path, factory))
    program = _checked(f"{path}:{factory}", made)
    tensors = {name: _tensor(path, name, tensor) for name, tensor in weights_of(program).items()}
    if not tensors:
        raise SharkpackError(f"{path}:{factory}: the model has no parameters; expected one at least")
    return program_source("python", (path,), program, tensors, lambda: None)


def weights_of(program: CustomModel) -> dict[str, torch.Tensor]:
    """Its parameters and persistent buffers by name, a shared one once."""
    module: Any = program.model
    found: dict[str, torch.Tensor] = {}
    for name, tensor in {**dict(module.named_parameters()), **module.state_dict(keep_vars=True)}.items():
        if not any(tensor is each for each in found.values()):
            found[name] = tensor
    return found


def _find(path: Path, factory: str) -> Callable[[], object]:
    """The function of that name. What the file imports comes from what is installed, not from beside it."""
    name = f"sharkpack_program_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    _call(str(path), partial(spec.loader.exec_module, module))
    found = getattr(module, factory, None)
    if not callable(found):
        raise SharkpackError(f"{path}: no function is named '{factory}'; expected one that returns a CustomModel")
    return found  # type: ignore[no-any-return]


def _call(what: str, function: Callable[[], object]) -> object:
    """Code that is not ours may raise anything, and may try to leave."""
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise SharkpackError(f"{what} raised {type(error).__name__}: {one_line(str(error))}") from error


def _checked(what: str, made: object) -> CustomModel:
    if not isinstance(made, CustomModel):
        raise SharkpackError(f"{what} returned a {type(made).__name__}; expected a CustomModel")
    if not isinstance(made.model, torch.nn.Module) or not isinstance(made.model, LanguageModel):
        kind = type(made.model).__name__
        raise SharkpackError(f"{what}: the model is a {kind}; expected a torch.nn.Module with methods hidden and head")
    check_description(what, made)
    return made


def _tensor(path: Path, name: str, tensor: torch.Tensor) -> SourceTensor:
    if tensor.dtype not in TYPES or not tensor.ndim or not tensor.numel() or tensor.device.type != "cpu":
        kind = str(tensor.dtype).removeprefix("torch.")
        raise SharkpackError(
            f"{path}: parameter '{name}' is {kind} {list(tensor.shape)} on {tensor.device}; expected "
            f"{', '.join(str(each).removeprefix('torch.') for each in TYPES)} on the CPU, with a dimension at least"
        )
    return ModuleTensor(name=name, tensor=tensor)
