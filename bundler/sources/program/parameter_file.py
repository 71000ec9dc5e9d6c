"""The parameters of a program that is MLIR text: a file of named tensors, held to what the text says of each."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from sharkpack.bundler.sources.program.mlir_program import MlirText, Parameter
from sharkpack.bundler.sources.tensors import SourceTensor, StoredTensor, TensorFile
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.mapped_file import MappedFile
from sharkpack.formats.model_files.irpa import PARAMETER_SCOPE, read_irpa_index, read_irpa_notes
from sharkpack.formats.model_files.safetensors_file import SafetensorsFile
from sharkpack.formats.model_files.tensor_note import read_note
from sharkpack.formats.quant.block import Bytes

ELEMENTS = {
    "f32": ("F32", 4),
    "f16": ("F16", 2),
    "bf16": ("BF16", 2),
    "f64": ("F64", 8),
    "i64": ("I64", 8),
    "i32": ("I32", 4),
    "i16": ("I16", 2),
    "i8": ("I8", 1),
    "f8E4M3FN": ("F8_E4M3", 1),
    "f8E5M2": ("F8_E5M2", 1),
}
"""Element types of parameters: names in MLIR, in parameter files, and bytes of an element."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """A tensor in a file; type and shape where the file says them."""

    nbytes: int
    file: TensorFile
    type: tuple[str, tuple[int, ...]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterSource:
    """The parameters that a program names, as and in the order in which they are stored. `close` ends reading."""

    tensors: Mapping[str, SourceTensor] = field(repr=False)
    close: Callable[[], None] = field(repr=False)


def open_parameters(path: Path, code: MlirText) -> ParameterSource:
    """Open the file and find every parameter of `code` in it. What the code does not name is left alone.

    Raises SharkpackError for a file that cannot be read, and for the first parameter that it lacks or has otherwise.
    """
    if not path.is_file():
        raise SharkpackError(f"{path}: no such file; expected the parameters of {code.path.name}: see its description")
    if path.suffix not in _READERS:
        raise SharkpackError(f"{path}: parameters are read from {' or '.join(_READERS)} files")
    stored, close = _READERS[path.suffix](path)
    try:
        if not code.parameters:
            raise SharkpackError(f"{code.path} names no parameter; expected one at least: a bundle holds weights")
        named = {each.name: _tensor(path, code.path, each, stored) for each in code.parameters}
    except BaseException:
        close()
        raise
    return ParameterSource(tensors={name: named[name] for name in stored if name in named}, close=close)


def _tensor(path: Path, program: Path, parameter: Parameter, stored: Mapping[str, _Stored]) -> SourceTensor:
    name, wanted = parameter.name, parameter.type
    if parameter.scope != PARAMETER_SCOPE:
        raise SharkpackError(
            f"{program}: parameter '{name}' has the scope '{parameter.scope}'; "
            f'expected "{PARAMETER_SCOPE}"::"{name}", as a bundle has one parameter file, of that scope'
        )
    if wanted.element not in ELEMENTS or None in wanted.shape:
        raise SharkpackError(
            f"{program}: parameter '{name}' is {wanted}; expected fixed sizes, of {', '.join(ELEMENTS)}"
        )
    type_name, item = ELEMENTS[wanted.element]
    shape = tuple(size for size in wanted.shape if size is not None)
    nbytes = math.prod(shape) * item
    if name not in stored:
        raise SharkpackError(
            f"{path}: parameter '{name}', {wanted} in {program.name}, is missing; {_near(name, stored)}"
        )
    found = stored[name]
    if found.type not in (None, (type_name, shape)) or found.nbytes != nbytes:
        kind = "" if found.type is None else f" ({found.type[0]} {list(found.type[1])})"
        raise SharkpackError(
            f"{path}: parameter '{name}' has {found.nbytes} bytes{kind}; expected {nbytes}, as it is {wanted} in "
            f"{program.name}"
        )
    return StoredTensor(name=name, shape=shape, type_name=type_name, nbytes=nbytes, file=found.file, stored_name=name)


def _near(name: str, stored: Mapping[str, _Stored]) -> str:
    near = get_close_matches(name, stored, 1)
    return f"did you mean '{near[0]}'?" if near else f"the file has {', '.join(list(stored)[:4]) or 'no tensors'}"


@dataclass(frozen=True, slots=True)
class _IrpaFile:
    """A mapped archive as a TensorFile; places are offsets and bytes."""

    file: MappedFile
    places: Mapping[str, tuple[int, int]]

    def raw(self, name: str) -> Bytes:
        return self.file.view(*self.places[name])

    def release(self, name: str) -> None:
        self.file.release(*self.places[name])


def _read_irpa(path: Path) -> tuple[dict[str, _Stored], Callable[[], None]]:
    file = MappedFile.open(path)
    try:
        with memoryview(file.mapping) as view:
            index, notes = read_irpa_index(view), read_irpa_notes(view)
    except SharkpackError as error:
        file.close()
        raise SharkpackError(f"{path}: {error}") from error
    tensors = _IrpaFile(file, index)
    stored = {
        name: _Stored(nbytes=nbytes, file=tensors, type=_noted(notes[name], nbytes))
        for name, (_, nbytes) in index.items()
    }
    return stored, file.close


def _noted(note: bytes, nbytes: int) -> tuple[str, tuple[int, ...]] | None:
    """Reads a note, if it speaks of plain elements that fill the tensor: packed weights are otherwise."""
    element, shape = read_note(note) or ("", ())
    type_name, item = ELEMENTS.get(element, ("", 0))
    return (type_name, shape) if item * math.prod(shape) == nbytes else None


def _read_safetensors(path: Path) -> tuple[dict[str, _Stored], Callable[[], None]]:
    file = SafetensorsFile.open(path)
    stored = {
        name: _Stored(
            nbytes=tensor.nbytes,
            file=file,
            type=("I8" if tensor.dtype == "U8" else tensor.dtype, tensor.shape),
        )
        for name, tensor in file.tensors.items()
    }
    return stored, file.close


_READERS = {".irpa": _read_irpa, ".safetensors": _read_safetensors}
