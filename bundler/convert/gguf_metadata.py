"""A source's metadata as a GGUF file has it: a GGUF's own to the byte, a checkpoint's under GGUF's keys."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from sharkpack.bundler.convert.gguf_losses import gguf_losses
from sharkpack.bundler.convert.gguf_sampling import sampling_keys
from sharkpack.bundler.convert.gguf_tokenizer import tokenizer_keys
from sharkpack.bundler.quantize import SCHEMES
from sharkpack.bundler.sources.gguf_parts import PREFIX as PARTS
from sharkpack.bundler.sources.model import SourceDescription
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.bundler.tokenizer import tokenizer_of
from sharkpack.formats.model_files.gguf import GGUFFile
from sharkpack.formats.model_files.gguf_writer import encode_value

# What a quantisation changes, of all that a file says of itself.
_CHANGING = ("general.file_type", "general.quantization_version")


def gguf_metadata(source: SourceDescription) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """Keys and encoded values, and what they do not say of the source, a sentence each.

    Raises SharkpackError for a checkpoint whose tokenizer GGUF has no words for.
    """
    if isinstance(source.tokenizer, TokenizerFiles):
        files, tokenizer = source.tokenizer, tokenizer_of(source.tokenizer)
        values = {**source.metadata, **_defaults(source)}
        values.setdefault("general.file_type", _file_type(source))
        sampling, unsaid = sampling_keys(files.folder)
        values |= sampling | tokenizer_keys(files, tokenizer)
        warnings = (*tokenizer.notes, *gguf_losses(files, tokenizer, values), *unsaid)
        return {key: encode_value(value) for key, value in values.items()}, warnings
    with GGUFFile.open(source.path) as file:
        kept = {key: file.encoded(key) for key in file.metadata if not key.startswith(PARTS)}
        changed = {key: source.metadata[key] for key in _CHANGING if source.metadata.get(key) != file.metadata.get(key)}
        return kept | {key: encode_value(value) for key, value in changed.items()}, ()


def _file_type(source: SourceDescription) -> int:
    """GGUF's number for the type that most of the weights have."""
    sizes: Counter[str] = Counter()
    for tensor in source.tensors.values():
        sizes[tensor.type_name] += tensor.nbytes
    return SCHEMES[max(sizes, key=lambda name: sizes[name]).lower()].file_type


def _defaults(source: SourceDescription) -> Mapping[str, Any]:
    """Returns the keys that llama.cpp needs, and a checkpoint leaves to be computed."""
    heads = source.integer("attention.head_count")
    size = source.integer("attention.key_length", source.integer("embedding_length") // heads)
    said = {"attention.head_count_kv": heads, "rope.dimension_count": size}
    given = set(source.hyperparameters())
    if "attention.key_length" in given:
        said["attention.value_length"] = size
    prefix = source.architecture
    return {f"{prefix}.{key}": value for key, value in said.items() if key not in given} | {
        f"{prefix}.vocab_size": source.tensors["token_embd.weight"].shape[0]
    }
