"""Programs as source models, whatever they are written in: from here on there is one kind of them."""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.program.byte_tokenizer import byte_tokenizer
from sharkpack.bundler.sources.program_description import ProgramDescription
from sharkpack.bundler.sources.tensors import SourceTensor
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles

ARCHITECTURE = "custom"


def program_source(
    kind: str,
    files: tuple[Path, ...],
    program: ProgramDescription,
    tensors: Mapping[str, SourceTensor],
    close: Callable[[], None],
) -> SourceModel:
    """The source model that a bundle is made from; `files[0]` is the program's own."""
    path, sizes = files[0], Counter[str]()
    for tensor in tensors.values():
        sizes[tensor.type_name] += tensor.nbytes
    return SourceModel(
        kind=kind,
        path=path,
        files=files,
        origin=path.name,
        size=sizes.total(),
        architecture=ARCHITECTURE,
        name=program.name,
        quantization=max(sizes, key=lambda name: (sizes[name], name)),
        license=program.license,
        ggml_row_order=False,
        tokenizer=byte_tokenizer(path, program.vocab_size)
        if program.tokenizer is None
        else TokenizerFiles(folder=program.tokenizer, config={}, rows=program.vocab_size),
        tensors=tensors,
        metadata={"general.architecture": ARCHITECTURE, f"{ARCHITECTURE}.context_length": program.context_length},
        close=close,
        program=program,
    )
