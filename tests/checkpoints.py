"""A Hugging Face checkpoint of the weights in a GGUF file: `python -m tests.checkpoints MODEL.gguf FOLDER [DTYPE]`.

Dequantised, a slab of rows at a time, to bfloat16 (or float16, float32), with the tokenizer that we rebuild.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from sharkpack.bundler.sources import SourceModel, SourceTensor, open_source
from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap, plus_one
from sharkpack.bundler.sources.huggingface.maps import MAPS
from sharkpack.bundler.tokenizer import tokenizer_of
from sharkpack.formats.quant import dequantize
from sharkpack.templates.layers.rope import neighbours_to_halves

MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "gemma3": "gemma3_text"}
DTYPES = {"bfloat16": ("BF16", 2), "float16": ("F16", 2), "float32": ("F32", 4)}
SLAB_ELEMENTS = 1 << 22

CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {"hidden_act": "silu", "attention_bias": False},
    "qwen2": {"hidden_act": "silu", "use_sliding_window": False},
    "gemma3": {"hidden_activation": "gelu_pytorch_tanh", "rope_local_base_freq": 10000.0},
}
"""What a config says beside sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor to write: its name in the checkpoint, and how its values differ from the source's."""

    name: str
    tensor: SourceTensor
    order: npt.NDArray[np.int64] | None
    minus_one: bool

    def slabs(self) -> Iterator[npt.NDArray[np.float32]]:
        """float32 values, some rows at a time."""
        rows = 1 if len(self.tensor.shape) == 1 else self.tensor.shape[0]
        width = self.tensor.shape[-1]
        step = max(SLAB_ELEMENTS // width, 1)
        for start in range(0, rows, step):
            index = slice(start, min(start + step, rows))
            raw = self.tensor.rows(index if self.order is None else self.order[index])
            values = dequantize(self.tensor.type_name, np.ascontiguousarray(raw).reshape(-1), (len(raw), width))
            yield values - np.float32(1) if self.minus_one else values


def write_checkpoint_of(gguf: Path, folder: Path, dtype: str = "bfloat16", shards: int = 1) -> Path:
    """Write the model in the file `gguf` (llama, qwen2 or gemma3) as a checkpoint in `folder`; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_source(str(gguf)) as source:
        how = MAPS[MODEL_TYPES[source.architecture]]
        tensors = [_stored(source, tensor, how) for tensor in source.tensors.values()]
        _write_json(folder / "config.json", _config(source, how, dtype))
        _write_weights(folder, tensors, dtype, shards)
        _write_tokenizer(folder, source)
    return folder


def _stored(source: SourceModel, tensor: SourceTensor, how: CheckpointMap) -> Stored:
    module, _, kind = tensor.name.rpartition(".")
    words = module.split(".")
    layer = words[1] if words[0] == "blk" else ""
    pattern = ".".join("{}" if word.isdecimal() else word for word in words)
    name = next(name for name, target in how.modules.items() if target == pattern)
    return Stored(
        name=f"{name.format(layer)}.{kind}",
        tensor=tensor,
        order=_order(source, words[-1], tensor.shape[0]) if source.architecture == "llama" else None,
        minus_one=how.transforms.get(pattern) is plus_one,
    )


def _order(source: SourceModel, part: str, rows: int) -> npt.NDArray[np.int64] | None:
    """Back from the order in which ggml wants the rows of q and k."""
    if part not in ("attn_q", "attn_k"):
        return None
    head_dim = source.tensor("blk.0.attn_q.weight").shape[0] // source.integer("attention.head_count")
    return neighbours_to_halves(rows // head_dim, head_dim, source.integer("rope.dimension_count", head_dim))


def _config(source: SourceModel, how: CheckpointMap, dtype: str) -> dict[str, Any]:
    keys = {name: key for key, name in {**how.sizes, **how.numbers}.items()}
    own = {key: source.metadata[f"{source.architecture}.{key}"] for key in source.hyperparameters()}
    config = {keys[name]: value for name, value in own.items() if name in keys} | CONFIGS[source.architecture]
    config["rope_theta"] = own["rope.freq_base"]
    config["vocab_size"] = source.tensor("token_embd.weight").shape[0]
    config["tie_word_embeddings"] = "output.weight" not in source.tensors
    if source.architecture == "gemma3":
        config["query_pre_attn_scalar"] = own["attention.key_length"]
    return {"model_type": how.model_types[0], "torch_dtype": dtype, **config}


def _write_weights(folder: Path, tensors: list[Stored], dtype: str, shards: int) -> None:
    if shards == 1:
        _write_safetensors(folder / "model.safetensors", tensors, dtype)
        return
    names = [f"model-{number + 1:05}-of-{shards:05}.safetensors" for number in range(shards)]
    for number, name in enumerate(names):
        _write_safetensors(folder / name, tensors[number::shards], dtype)
    places = {stored.name: names[at % shards] for at, stored in enumerate(tensors)}
    _write_json(folder / "model.safetensors.index.json", {"metadata": {}, "weight_map": places})


def _write_safetensors(path: Path, tensors: list[Stored], dtype: str) -> None:
    code, size = DTYPES[dtype]
    header, offset = dict[str, Any](), 0
    for stored in tensors:
        end = offset + size * int(np.prod(stored.tensor.shape))
        header[stored.name] = {"dtype": code, "shape": list(stored.tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for stored in tensors:
            _write_values(file, stored, dtype)


def _write_values(file: BinaryIO, stored: Stored, dtype: str) -> None:
    for values in stored.slabs():
        file.write(_rounded(values, dtype).tobytes())
    stored.tensor.release()


def _rounded(values: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """To the nearest of the type, ties to even."""
    if dtype != "bfloat16":
        return values.astype(dtype)
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def _write_tokenizer(folder: Path, source: SourceModel) -> None:
    tokenizer = tokenizer_of(source.tokenizer)
    (folder / "tokenizer.json").write_bytes(tokenizer.json)
    named = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    _write_json(folder / "tokenizer_config.json", named | {"add_bos_token": tokenizer.add_bos})
    _write_json(folder / "generation_config.json", {"eos_token_id": list(tokenizer.end_token_ids)})
    if tokenizer.chat_template is not None:
        (folder / "chat_template.jinja").write_text(tokenizer.chat_template, "utf-8")


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2), "utf-8")


if __name__ == "__main__":
    write_checkpoint_of(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "bfloat16")
