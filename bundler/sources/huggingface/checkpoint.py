"""A checkpoint's folder as a source model: config, weights and vocabulary under the names that recipes know."""

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap
from sharkpack.bundler.sources.huggingface.front_matter import checkpoint_card, declared_license, read_front_matter
from sharkpack.bundler.sources.huggingface.generation_config import read_generation_config
from sharkpack.bundler.sources.huggingface.hyperparameters import hyperparameters, settle
from sharkpack.bundler.sources.huggingface.maps import MAPS
from sharkpack.bundler.sources.huggingface.scales import declared_block
from sharkpack.bundler.sources.huggingface.shards import Shards, open_shards
from sharkpack.bundler.sources.huggingface.tensors import source_tensors, stored_name
from sharkpack.bundler.sources.json_file import read_json
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.bundler.sources.tensors import ComputedTensor, SourceTensor
from sharkpack.bundler.sources.tokenizer_files import TokenizerFiles
from sharkpack.formats.errors import SharkpackError

CONFIG = "config.json"
FOR_ALL = ("tie_word_embeddings", "quantization_config", "bos_token_id", "eos_token_id")


def open_checkpoint(folder: Path) -> SourceModel:
    """Open the checkpoint in `folder`, reading descriptions only.

    Raises SharkpackError when it is not a whole checkpoint of a kind that is known, or when something in it may change
    what the model computes and is not known.
    """
    raw = Metadata(path=folder / CONFIG, values=read_json(folder / CONFIG).values())
    how = _choose_map(raw)
    config = settle(raw if how.inside is None else _inner(raw, how.inside), how)
    shards = open_shards(folder)
    try:
        for file in shards.files:
            file.refuse_zero_tail()
        return _describe(folder, config, how, shards)
    except BaseException:
        shards.close()
        raise


def _choose_map(config: Metadata) -> CheckpointMap:
    kind = config.text("model_type")
    if kind not in MAPS:
        code = " whose maths is code of its own ('auto_map'), which is never run" if "auto_map" in config.values else ""
        raise SharkpackError(f"{config.path}: a model of type {kind!r}{code}; supported: {', '.join(MAPS)}")
    classes = config.texts("architectures", [])
    wanted = "ForCausalLM" if MAPS[kind].inside is None else "ForConditionalGeneration"
    if classes and not any(name.endswith(wanted) for name in classes):
        raise SharkpackError(f"{config.path}: holds a {classes[0]}; a language model of this type is a ...{wanted}")
    return MAPS[kind]


def _inner(config: Metadata, key: str) -> Metadata:
    """The config of the language model in a larger one, with what the larger one says for all of it."""
    inner = config.values.get(key)
    if not isinstance(inner, Mapping):
        raise SharkpackError(f"{config.path}: '{key}' is missing; a {config.values['model_type']} checkpoint has it")
    outer = {name: config.values[name] for name in FOR_ALL if name in config.values}
    return Metadata(path=config.path, values={**outer, **inner, "model_type": config.values["model_type"]})


def _describe(folder: Path, config: Metadata, how: CheckpointMap, shards: Shards) -> SourceModel:
    tied = config.boolean("tie_word_embeddings")
    sizes, derived = hyperparameters(config, how), how.derive(config)
    tensors = source_tensors(shards, how, declared_block(config), tied=tied)
    tensors |= {name: ComputedTensor(name=name, values=values) for name, values in derived.tensors.items()}
    rows = _vocabulary_rows(config, tensors, tied=tied)
    values, name = {**sizes, **derived.values}, folder.resolve().name
    matter = read_front_matter(folder)
    return SourceModel(
        kind="safetensors",
        path=folder,
        origin=name,
        files=(config.path, *(file.path for file in shards.files)),
        size=sum(file.size for file in shards.files),
        architecture=how.architecture,
        name=name,
        quantization=_quantization(shards),
        license=declared_license(matter),
        card=checkpoint_card(matter),
        generation=read_generation_config(folder),
        ggml_row_order=False,
        tokenizer=TokenizerFiles(folder=folder, config=config.values, rows=rows),
        tensors=tensors,
        metadata={
            "general.architecture": how.architecture,
            "general.name": name,
            **{f"{how.architecture}.{key}": value for key, value in values.items()},
        },
        close=shards.close,
        stored_name=partial(stored_name, how),
    )


def _vocabulary_rows(config: Metadata, tensors: Mapping[str, SourceTensor], *, tied: bool) -> int:
    """Rows of the embedding; SharkpackError when the config gives another number, or a separate head is not there."""
    if "token_embd.weight" not in tensors:
        raise SharkpackError(f"{config.path.parent}: the token embedding is missing from the weights")
    rows, declared = tensors["token_embd.weight"].shape[0], config.integer("vocab_size")
    if rows != declared:
        raise SharkpackError(f"{config.path}: 'vocab_size' is {declared}, and the token embedding has {rows} rows")
    if not tied and "output.weight" not in tensors:
        raise SharkpackError(
            f"{config.path}: the output head is not tied to the embedding ('tie_word_embeddings' is false), "
            "and the weights have none"
        )
    return rows


def _quantization(shards: Shards) -> str:
    """The dtype that most bytes of the weights have."""
    sizes: Counter[str] = Counter()
    for file in shards.files:
        for tensor in file.tensors.values():
            sizes[tensor.dtype] += tensor.nbytes
    return max(sizes, key=lambda dtype: (sizes[dtype], dtype), default="F32")
