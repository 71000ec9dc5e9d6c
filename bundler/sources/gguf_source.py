"""A GGUF file, or the parts of one, as a source model. Knows GGUF's general keys, not an architecture's own."""

import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sharkpack.bundler.sources.gguf_card import gguf_card, gguf_generation
from sharkpack.bundler.sources.gguf_parts import close_parts, open_parts
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import SourceTensor, StoredTensor
from sharkpack.bundler.sources.tokenizer_source import read_tokenizer_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.model_files.ggml_types import FILE_TYPES
from sharkpack.formats.model_files.gguf import GGUFFile, GGUFTensor
from sharkpack.formats.model_files.gguf_part_names import whole_name


def open_gguf(path: str | os.PathLike[str]) -> SourceModel:
    """Open the GGUF model at `path`, the first of its parts if it has several, reading headers only.

    Raises SharkpackError when it is not a whole GGUF file, or not a whole language model (an adapter, parts missing,
    no vocabulary).
    """
    files = open_parts(path)
    try:
        return _describe(files)
    except BaseException:
        close_parts(files)
        raise


def _describe(files: tuple[GGUFFile, ...]) -> SourceModel:
    file = files[0]
    metadata = Metadata(path=file.path, values=file.metadata)
    tensors = {name: _tensor(each, tensor) for each in files for name, tensor in each.tensors.items()}
    _check_whole_model(metadata, tensors)
    for each in files:
        each.refuse_zero_tail()
    embedding = tensors.get("token_embd.weight")
    return SourceModel(
        kind="gguf",
        path=file.path,
        files=tuple(each.path for each in files),
        origin=file.path.name,
        size=sum(each.size for each in files),
        architecture=metadata.text("general.architecture"),
        name=metadata.text("general.name", "") or Path(whole_name(file.path.name)).stem,
        quantization=_quantization(metadata, files),
        license=metadata.text("general.license", None),
        card=gguf_card(file.metadata),
        generation=gguf_generation(file.metadata),
        ggml_row_order=True,
        tokenizer=read_tokenizer_source(metadata, None if embedding is None else embedding.shape[0]),
        tensors=tensors,
        metadata=file.metadata,
        close=partial(close_parts, files),
    )


def _check_whole_model(metadata: Metadata, tensors: Mapping[str, SourceTensor]) -> None:
    kind = metadata.text("general.type", "model")
    if kind != "model":
        raise SharkpackError(f"{metadata.path}: holds one of type '{kind}', not a model of its own")
    if not tensors:
        raise SharkpackError(f"{metadata.path}: holds a vocabulary and no tensors; expected a model with its weights")


def _quantization(metadata: Metadata, files: tuple[GGUFFile, ...]) -> str:
    """Returns the model's name of its quantisation; failing that, the type that most of its bytes have."""
    name = FILE_TYPES.get(metadata.integer("general.file_type", -1))
    if name is not None:
        return name
    sizes: Counter[str] = Counter()
    for tensor in (tensor for file in files for tensor in file.tensors.values()):
        sizes[tensor.type_name] += tensor.nbytes
    return max(sizes, key=lambda name: (sizes[name], name), default="F32")


def _tensor(file: GGUFFile, tensor: GGUFTensor) -> SourceTensor:
    return StoredTensor(
        name=tensor.name,
        shape=tensor.shape,
        type_name=tensor.type_name,
        nbytes=tensor.nbytes,
        file=file,
        stored_name=tensor.name,
    )
