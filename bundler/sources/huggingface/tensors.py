"""Stored tensors -> source tensors under GGUF's names: types, stacks, scales of 8-bit floats, transforms. All lazy."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap
from sharkpack.bundler.sources.huggingface.derived import Floats
from sharkpack.bundler.sources.huggingface.scales import Block, Scale, is_scale, scale_of
from sharkpack.bundler.sources.huggingface.shards import Shards
from sharkpack.bundler.sources.tensors import SourceTensor, StoredTensor, TensorMadeByRows, float32_bytes
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.safetensors_file import SafetensorsFile
from sharkpack.formats.model_files.safetensors_index import SafetensorsTensor
from sharkpack.formats.packing import RowOrder
from sharkpack.formats.quant.block import Bytes
from sharkpack.formats.quant.float8 import float8_values
from sharkpack.formats.quant.types import float_values

PLAIN = ("F32", "F16", "BF16")
FLOAT8 = ("F8_E4M3", "F8_E5M2")
KINDS = ("weight", "bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One stored tensor and where it goes; `place` is its number in a stack, None outside of one."""

    stored: SafetensorsTensor
    file: SafetensorsFile
    target: str
    place: int | None
    transform: Callable[[Floats], Floats] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedTensor(TensorMadeByRows):
    """float32 of a stored tensor: 8-bit floats by their scale, and what `transform` makes of rows."""

    name: str
    stored: SafetensorsTensor
    file: SafetensorsFile = field(repr=False)
    scale: Scale | None = field(repr=False)
    transform: Callable[[Floats], Floats] | None = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def type_name(self) -> str:
        return "F32"

    @property
    def nbytes(self) -> int:
        return 4 * math.prod(self.shape)

    def rows(self, index: slice | RowOrder) -> Bytes:
        height = math.prod(self.shape[:-1])
        raw = self.file.raw(self.stored.name).reshape(height, -1)[index]
        if self.scale is None:
            values = float_values(self.stored.dtype, raw)
        else:
            scales = self.scale.spread(np.arange(height)[index], self.shape[1])
            values = float8_values(self.stored.dtype, raw) * scales
        return float32_bytes(values if self.transform is None else self.transform(values))

    def release(self) -> None:
        self.file.release(self.stored.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackedTensor(TensorMadeByRows):
    """Several tensors of one shape and type as one, with a dimension before theirs: a mixture's experts."""

    name: str
    tensors: tuple[SourceTensor, ...] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.tensors), *self.tensors[0].shape)

    @property
    def type_name(self) -> str:
        return self.tensors[0].type_name

    @property
    def nbytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)

    def rows(self, index: slice | RowOrder) -> Bytes:
        height = math.prod(self.shape[1:-1])
        picked = np.arange(height * len(self.tensors))[index]
        rows = np.empty((len(picked), self.tensors[0].nbytes // height), np.uint8)
        for number in np.unique(picked // height):
            here = picked // height == number
            rows[here] = self.tensors[number].rows(picked[here] - number * height)
        return rows

    def release(self) -> None:
        for tensor in self.tensors:
            tensor.release()


def source_tensors(shards: Shards, how: CheckpointMap, block: Block | None, *, tied: bool) -> dict[str, SourceTensor]:
    """Every tensor by its GGUF name. `tied`: a stored output head is a copy of the embeddings, and is left out.

    Raises SharkpackError for a tensor whose name or dtype is not known, an 8-bit one without its scale, and a stack
    with holes.
    """
    stacks: dict[str, list[_Part]] = defaultdict(list)
    for name, file in shards.places.items():
        part = _place(file.tensors[name], file, how)
        if part is not None and not (tied and part.target == "output.weight"):
            stacks[part.target].append(part)
    return {target: _stack(target, parts, shards, block) for target, parts in stacks.items()}


def stored_name(how: CheckpointMap, name: str) -> str:
    """Returns the checkpoint's name of the tensor that recipes know as `name`; the parts of a stack are counted by
    *."""
    module, _, kind = name.rpartition(".")
    pattern, numbers = _pattern(module)
    found = next((stored for stored, target in how.modules.items() if target == pattern), None)
    if found is None:
        return name
    return f"{found.format(*numbers, *'*' * (found.count('{}') - len(numbers)))}.{kind}"


def _place(stored: SafetensorsTensor, file: SafetensorsFile, how: CheckpointMap) -> _Part | None:
    """Returns the place of a stored tensor; None when nothing needs it."""
    module, _, kind = stored.name.rpartition(".")
    pattern, numbers = _pattern(module)
    if pattern in how.drops or is_scale(kind) or stored.name.startswith(how.drops_under):
        return None
    name = how.modules.get(pattern)
    if name is None or kind not in KINDS:
        raise SharkpackError(
            f"tensor '{stored.name}' is not known in a {how.model_types[0]} checkpoint; "
            "this model differs from the architecture that its config declares"
        )
    inside = name.count("{}")
    return _Part(
        stored=stored,
        file=file,
        target=f"{name.format(*numbers)}.{kind}",
        place=numbers[inside] if len(numbers) > inside else None,
        transform=how.transforms.get(name) if kind == "weight" else None,
    )


def _pattern(module: str) -> tuple[str, list[int]]:
    """'model.layers.3.mlp' -> 'model.layers.{}.mlp' and [3]."""
    words, numbers = [], []
    for word in module.split("."):
        number = word.isascii() and word.isdecimal()
        words.append("{}" if number else word)
        numbers += [int(word)] if number else []
    return ".".join(words), numbers


def _stack(target: str, parts: list[_Part], shards: Shards, block: Block | None) -> SourceTensor:
    if len(parts) == 1 and parts[0].place is None:
        return _tensor(target, parts[0], shards, block)
    parts = sorted(parts, key=lambda part: -1 if part.place is None else part.place)
    first = parts[0].stored
    for number, part in enumerate(parts):
        if part.place != number:
            raise SharkpackError(f"of the tensors like '{first.name}', number {number} is missing")
        if (part.stored.shape, part.stored.dtype) != (first.shape, first.dtype):
            raise SharkpackError(f"tensors '{part.stored.name}' and '{first.name}' differ in shape or dtype")
    return StackedTensor(name=target, tensors=tuple(_tensor(target, part, shards, block) for part in parts))


def _tensor(target: str, part: _Part, shards: Shards, block: Block | None) -> SourceTensor:
    stored = part.stored
    if not stored.nbytes:
        raise SharkpackError(f"tensor '{stored.name}' of shape {list(stored.shape)} is empty")
    if stored.dtype in PLAIN and part.transform is None:
        return StoredTensor(
            name=target,
            shape=stored.shape,
            type_name=stored.dtype,
            nbytes=stored.nbytes,
            file=part.file,
            stored_name=stored.name,
        )
    if stored.dtype not in (*PLAIN, *FLOAT8):
        supported = ", ".join((*PLAIN, *FLOAT8))
        raise SharkpackError(f"tensor '{stored.name}' has dtype {stored.dtype}; supported: {supported}")
    scale = scale_of(stored, shards.places, block) if stored.dtype in FLOAT8 else None
    return TransformedTensor(name=target, stored=stored, file=part.file, scale=scale, transform=part.transform)
