"""Stored tensors -> source tensors under GGUF's names: types, stacks, scales of 8-bit floats, transforms. All lazy."""

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap
from sharkpack.bundler.sources.huggingface.derived import Floats
from sharkpack.bundler.sources.huggingface.scales import Block, is_scale, scale_of
from sharkpack.bundler.sources.huggingface.shards import Shards
from sharkpack.bundler.sources.model import SourceTensor
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


def computed_tensor(name: str, values: Floats) -> SourceTensor:
    """A float32 tensor that no file has."""
    rows = values.reshape(math.prod(values.shape[:-1]), -1)
    return _float32(name, values.shape, rows.__getitem__, lambda: None)


def stored_name(how: CheckpointMap, name: str) -> str:
    """What the checkpoint calls the tensor that recipes know as `name`; the parts of a stack are counted by *."""
    module, _, kind = name.rpartition(".")
    pattern, numbers = _pattern(module)
    found = next((stored for stored, target in how.modules.items() if target == pattern), None)
    if found is None:
        return name
    return f"{found.format(*numbers, *'*' * (found.count('{}') - len(numbers)))}.{kind}"


def _place(stored: SafetensorsTensor, file: SafetensorsFile, how: CheckpointMap) -> _Part | None:
    """Where a stored tensor goes; None when nothing needs it."""
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
    return _concatenated(target, [_tensor(target, part, shards, block) for part in parts])


def _concatenated(target: str, each: list[SourceTensor]) -> SourceTensor:
    height = math.prod(each[0].shape[:-1])

    def read_rows(index: slice | RowOrder) -> Bytes:
        picked = np.arange(height * len(each))[index]
        rows = np.empty((len(picked), each[0].nbytes // height), np.uint8)
        for number in np.unique(picked // height):
            here = picked // height == number
            rows[here] = each[number].rows(picked[here] - number * height)
        return rows

    def release() -> None:
        for tensor in each:
            tensor.release()

    return SourceTensor(
        name=target,
        shape=(len(each), *each[0].shape),
        type_name=each[0].type_name,
        nbytes=sum(tensor.nbytes for tensor in each),
        read=lambda: read_rows(slice(None)).reshape(-1),
        read_rows=read_rows,
        release=release,
    )


def _tensor(target: str, part: _Part, shards: Shards, block: Block | None) -> SourceTensor:
    stored = part.stored
    raw, release = partial(part.file.raw, stored.name), partial(part.file.release, stored.name)
    if not stored.nbytes:
        raise SharkpackError(f"tensor '{stored.name}' of shape {list(stored.shape)} is empty")
    if stored.dtype in PLAIN and part.transform is None:
        return SourceTensor(
            name=target, shape=stored.shape, type_name=stored.dtype, nbytes=stored.nbytes, read=raw, release=release
        )
    return _float32(target, stored.shape, _values(part, shards, block), release)


def _values(part: _Part, shards: Shards, block: Block | None) -> Callable[[slice | RowOrder], Floats]:
    """Computes float32 rows of a stored tensor that is not taken as it is."""
    stored, transform = part.stored, part.transform
    if stored.dtype not in (*PLAIN, *FLOAT8):
        supported = ", ".join((*PLAIN, *FLOAT8))
        raise SharkpackError(f"tensor '{stored.name}' has dtype {stored.dtype}; supported: {supported}")
    scale = scale_of(stored, shards.places, block) if stored.dtype in FLOAT8 else None
    height = math.prod(stored.shape[:-1])

    def rows(index: slice | RowOrder) -> Floats:
        raw = part.file.raw(stored.name).reshape(height, -1)[index]
        if scale is None:
            values = float_values(stored.dtype, raw)
        else:
            values = float8_values(stored.dtype, raw) * scale.spread(np.arange(height)[index], stored.shape[1])
        return values if transform is None else transform(values)

    return rows


def _float32(
    name: str, shape: tuple[int, ...], values: Callable[[slice | RowOrder], Floats], release: Callable[[], None]
) -> SourceTensor:
    def read_rows(index: slice | RowOrder) -> Bytes:
        return np.ascontiguousarray(values(index), "<f4").view(np.uint8)

    return SourceTensor(
        name=name,
        shape=shape,
        type_name="F32",
        nbytes=4 * math.prod(shape),
        read=lambda: read_rows(slice(None)).reshape(-1),
        read_rows=read_rows,
        release=release,
    )
