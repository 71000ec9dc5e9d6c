"""Models of real sizes with random weights, streamed to GGUF files: python -m tests.large_models FILE.gguf

Writes the shape of Qwen2.5-1.5B in F16 (3.1 GB) without ever holding a whole tensor.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sharkpack.formats.model_files.gguf_writer import TensorSpec, encode_value, plan_gguf
from sharkpack.formats.model_files.tensor_file import write_tensors
from tests.tiny_vocabularies import bpe_vocabulary

UNUSED = 5  # the kind of a token that stands for nothing
SLAB_ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeModel:
    """A qwen2 model; the head is the embedding."""

    layers: int
    dim: int
    ffn: int
    heads: int
    kv_heads: int
    vocabulary: int

    @property
    def specs(self) -> list[TensorSpec]:
        key = self.dim // self.heads * self.kv_heads
        matrices = {
            "attn_q": (self.dim, self.dim),
            "attn_k": (key, self.dim),
            "attn_v": (key, self.dim),
            "attn_output": (self.dim, self.dim),
            "ffn_gate": (self.ffn, self.dim),
            "ffn_up": (self.ffn, self.dim),
            "ffn_down": (self.dim, self.ffn),
        }
        vectors = {"attn_norm.weight": self.dim, "ffn_norm.weight": self.dim}
        vectors |= {"attn_q.bias": self.dim, "attn_k.bias": key, "attn_v.bias": key}
        specs = [_matrix("token_embd", (self.vocabulary, self.dim)), _vector("output_norm.weight", self.dim)]
        for layer in range(self.layers):
            specs += [_matrix(f"blk.{layer}.{name}", shape) for name, shape in matrices.items()]
            specs += [_vector(f"blk.{layer}.{name}", size) for name, size in vectors.items()]
        return specs


QWEN_1_5B = LargeModel(layers=28, dim=1536, ffn=8960, heads=12, kv_heads=2, vocabulary=151936)


def write_large_gguf(path: Path, model: LargeModel) -> Path:
    """Write `model` with random F16 weights; the same bytes each time."""
    specs = model.specs
    plan = plan_gguf({key: encode_value(value) for key, value in _metadata(model).items()}, specs)
    with path.open("wb") as file:
        write_tensors(plan, file, _pieces(specs))
    return path


def _matrix(name: str, shape: tuple[int, int]) -> TensorSpec:
    return TensorSpec(name=f"{name}.weight", shape=shape, type_name="F16")


def _vector(name: str, size: int) -> TensorSpec:
    return TensorSpec(name=name, shape=(size,), type_name="F32")


def _pieces(specs: list[TensorSpec]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    """Weights out of one slab of random numbers, begun at another place each time."""
    slab = np.random.default_rng(0).normal(size=2 * SLAB_ELEMENTS).astype(np.float32)
    for number, spec in enumerate(specs):
        size, start = math.prod(spec.shape), 7919 * number % SLAB_ELEMENTS
        if spec.type_name == "F32":
            yield spec.name, 1 + 0.1 * slab[start : start + size]
            continue
        weights = (slab * spec.shape[-1] ** -0.5).astype(np.float16)
        for done in range(0, size, SLAB_ELEMENTS):
            yield spec.name, weights[start : start + min(SLAB_ELEMENTS, size - done)]


def _metadata(model: LargeModel) -> dict[str, Any]:
    vocabulary = bpe_vocabulary("qwen2")
    missing = range(len(vocabulary["tokenizer.ggml.tokens"]), model.vocabulary)
    vocabulary["tokenizer.ggml.tokens"] = [*vocabulary["tokenizer.ggml.tokens"], *(f"[PAD{n}]" for n in missing)]
    vocabulary["tokenizer.ggml.token_type"] = [*vocabulary["tokenizer.ggml.token_type"], *[UNUSED] * len(missing)]
    own = {
        "block_count": model.layers,
        "context_length": 4096,
        "embedding_length": model.dim,
        "feed_forward_length": model.ffn,
        "attention.head_count": model.heads,
        "attention.head_count_kv": model.kv_heads,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.freq_base": 1e6,
    }
    general = {"general.architecture": "qwen2", "general.name": "Large", "general.file_type": 1}
    return general | {f"qwen2.{key}": value for key, value in own.items()} | vocabulary


if __name__ == "__main__":
    write_large_gguf(Path(sys.argv[1]), QWEN_1_5B)
