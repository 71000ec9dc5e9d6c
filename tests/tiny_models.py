"""Complete, runnable models of a few hundred kilobytes, written as GGUF files: random weights, real names and keys."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from sharkpack.formats.quant import QUANT_TYPES
from tests.random_blocks import random_blocks
from tests.tiny_layers import GEMMAS, OF_EXPERTS, TinyModel, layer_shapes, own_keys
from tests.tiny_vocabularies import bpe_vocabulary, spm_vocabulary

WIDE = tuple(name for name, kind in QUANT_TYPES.items() if kind.block == 256)
"""Types whose rows are whole super-blocks."""


def write_tiny_gguf(
    path: Path, architecture: str = "llama", quantization: str = "Q8_0", seed: int = 0, **overrides: Any
) -> Path:
    """Write a model of `architecture` (a recipe's, or mixtral), its matrices of type `quantization`; return `path`.

    `overrides` are fields of TinyModel. Types of super-blocks make it 256 wide. The same arguments give the same bytes.
    """
    model = replace(_defaults(architecture, quantization, seed), **overrides)
    vocabulary = spm_vocabulary() if architecture in GEMMAS else bpe_vocabulary(architecture)
    values = _hyperparameters(model) | vocabulary | dict(model.metadata)
    writer = gguf.GGUFWriter(path, model.name)
    for key, value in values.items():
        if value is not None:
            _add(writer, key, value)
    random = np.random.default_rng(seed)
    for name, shape in _shapes(model, len(vocabulary["tokenizer.ggml.tokens"])).items():
        exact = len(shape) == 1 or name.endswith("ffn_gate_inp.weight")
        kind = model.types.get(name, "F32" if exact else model.quantization)
        _add_tensor(writer, name, shape, kind, random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _defaults(architecture: str, quantization: str, seed: int) -> TinyModel:
    wide = quantization in WIDE
    model = TinyModel(architecture=architecture, quantization=quantization, seed=seed)
    if wide:
        model = replace(model, dim=256, ffn=1024 if architecture in OF_EXPERTS else 512, head_dim=64)
    if architecture == "gemma3":  # seven layers: five local ones, the global sixth, and a local one after it
        model = replace(model, layers=7, head_dim=64 if wide else 32)
    return model


def _hyperparameters(model: TinyModel) -> dict[str, Any]:
    file_types = {kind.name.removeprefix("MOSTLY_").removeprefix("ALL_"): kind.value for kind in gguf.LlamaFileType}
    own = {
        "block_count": model.layers,
        "context_length": model.context,
        "embedding_length": model.dim,
        "feed_forward_length": model.ffn,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads,
        "rope.freq_base": 1e6 if model.architecture == "gemma3" else 1e4,
    } | own_keys(model)
    norm = "layer_norm_epsilon" if model.architecture == "stablelm" else "layer_norm_rms_epsilon"
    own[f"attention.{norm}"] = 1e-6 if model.architecture == "gemma3" else 1e-5
    general = {"general.name": f"Tiny {model.architecture}", "general.license": "apache-2.0"}
    file_type = file_types.get(model.quantization, file_types.get(f"{model.quantization}_M", 0))
    return general | {"general.file_type": file_type} | {f"{model.name}.{key}": own[key] for key in own}


def _shapes(model: TinyModel, vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Every tensor's row-major shape, by llama.cpp's name."""
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd.weight": (vocabulary, model.dim),
        "output_norm.weight": (model.dim,),
    }
    if model.architecture == "stablelm":
        shapes["output_norm.bias"] = (model.dim,)
    if not model.tied:
        shapes["output.weight"] = (vocabulary, model.dim)
    if model.rope_factors:
        shapes["rope_freqs.weight"] = (model.head_dim // 2,)
    for layer in range(model.layers):
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in layer_shapes(model).items()}
    return shapes


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    adders = {bool: "add_bool", int: "add_uint32", float: "add_float32", str: "add_string", list: "add_array"}
    getattr(writer, adders[type(value)])(key, value)


def _add_tensor(
    writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: str, random: np.random.Generator
) -> None:
    data, type_id = _weights(name, shape, kind, random), gguf.GGMLQuantizationType[kind]
    writer.add_tensor(name, data, raw_dtype=None if kind in ("F32", "F16") else type_id)


def _weights(name: str, shape: tuple[int, ...], kind: str, random: np.random.Generator) -> npt.NDArray[Any]:
    """Random weights that keep activations near unit size, and logits a few units apart."""
    if name == "rope_freqs.weight":
        return np.linspace(1, 8, shape[0], dtype=np.float32)
    if name.endswith("norm.weight"):
        return random.uniform(0.8, 1.2, shape).astype(np.float32)
    deviation = (3 if name in ("token_embd.weight", "output.weight") else 1) * shape[-1] ** -0.5
    type_id = gguf.GGMLQuantizationType[kind]
    if kind in WIDE or kind == "IQ4_NL":
        rows = random_blocks(kind, (math.prod(shape[:-1]), shape[-1]), deviation, random)
        return rows.reshape(*shape[:-1], -1)
    weights = random.normal(0, 0.1 if len(shape) == 1 else deviation, shape).astype(np.float32)
    if kind in ("F32", "F16"):
        return weights.astype(np.float16) if kind == "F16" else weights
    if type_id in (gguf.GGMLQuantizationType.Q8_K,):  # to be refused, not decoded
        return np.zeros((shape[0], gguf.quant_shape_to_byte_shape(shape, type_id)[-1]), np.uint8)
    return gguf.quants.quantize(weights, type_id)  # type: ignore[no-any-return]
