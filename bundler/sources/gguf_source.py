"""A GGUF file as a source model. Knows GGUF's general keys, not what an architecture's own keys mean."""

import os
from collections import Counter
from functools import partial

from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.bundler.sources.model import SourceModel, SourceTensor
from sharkpack.bundler.sources.tokenizer_source import read_tokenizer_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.ggml_types import FILE_TYPES
from sharkpack.formats.gguf import GGUFFile, GGUFTensor


def open_gguf(path: str | os.PathLike[str]) -> SourceModel:
    """Open the GGUF model at `path`, reading its header only.

    Raises SharkpackError when it is not a whole GGUF file, or not a whole language model (an adapter, one part of a
    split model, no vocabulary).
    """
    file = GGUFFile.open(path)
    try:
        return _describe(file)
    except BaseException:
        file.close()
        raise


def _describe(file: GGUFFile) -> SourceModel:
    metadata = Metadata(path=file.path, values=file.metadata)
    _check_whole_model(metadata)
    return SourceModel(
        kind="gguf",
        path=file.path,
        files=(file.path,),
        origin=file.path.name,
        size=file.size,
        architecture=metadata.text("general.architecture"),
        name=metadata.text("general.name", "") or file.path.stem,
        quantization=_quantization(metadata, file),
        license=metadata.text("general.license", None),
        ggml_row_order=True,
        tokenizer=read_tokenizer_source(metadata),
        tensors={name: _tensor(file, tensor) for name, tensor in file.tensors.items()},
        metadata=file.metadata,
        close=file.close,
    )


def _check_whole_model(metadata: Metadata) -> None:
    kind = metadata.text("general.type", "model")
    if kind != "model":
        raise SharkpackError(f"{metadata.path}: holds one of type '{kind}', not a model of its own")
    parts = metadata.integer("split.count", 1)
    if parts > 1:
        raise SharkpackError(
            f"{metadata.path}: one of {parts} parts of a split model; "
            "merge them into one file first (llama-gguf-split --merge)"
        )


def _quantization(metadata: Metadata, file: GGUFFile) -> str:
    """What the file calls its quantisation; failing that, the type that most of its bytes have."""
    name = FILE_TYPES.get(metadata.integer("general.file_type", -1))
    if name is not None:
        return name
    sizes: Counter[str] = Counter()
    for tensor in file.tensors.values():
        sizes[tensor.type_name] += tensor.nbytes
    return max(sizes, key=lambda name: (sizes[name], name), default="F32")


def _tensor(file: GGUFFile, tensor: GGUFTensor) -> SourceTensor:
    return SourceTensor(
        name=tensor.name,
        shape=tensor.shape,
        type_name=tensor.type_name,
        nbytes=tensor.nbytes,
        read=partial(file.raw, tensor.name),
        release=partial(file.release, tensor.name),
    )
