"""The tensors of a layer of each architecture in a GGUF file, and hyperparameters that only some have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GEMMAS = ("gemma2", "gemma3")
OF_EXPERTS = ("mixtral", "qwen2moe", "qwen3moe")


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyModel:
    """The description of a tiny model. `types` gives single tensors a type of their own, by name; `metadata` adds keys
    to the file, replaces them, or with None leaves them out. Of `experts` 2 are used, each `expert_ffn` wide."""

    architecture: str = "llama"
    quantization: str = "Q8_0"
    seed: int = 0
    layers: int = 2
    dim: int = 128
    ffn: int = 256
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    context: int = 512
    sliding_window: int = 16
    tied: bool = True
    rope_factors: bool = False
    experts: int = 4
    types: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def expert_ffn(self) -> int:
        """Mixtral's file has no key for it: its experts are as wide as it says that a feed-forward part is."""
        return self.ffn if self.architecture == "mixtral" else self.ffn // 4

    @property
    def name(self) -> str:
        """The name of its architecture in a file."""
        return "llama" if self.architecture == "mixtral" else self.architecture


def own_keys(model: TinyModel) -> dict[str, Any]:
    """The hyperparameters of one architecture, beside those that all have."""
    a, head_dim = model.architecture, model.head_dim
    heads = {"attention.key_length": head_dim, "attention.value_length": head_dim}
    keys: dict[str, Any] = {"rope.dimension_count": head_dim}
    if a in GEMMAS:
        keys = heads | {"attention.sliding_window": model.sliding_window}
    if a == "gemma2":
        keys |= {"attn_logit_softcapping": 3.0, "final_logit_softcapping": 5.0}
    if a in ("qwen3", "qwen3moe"):
        keys = heads
    if a == "granite":
        keys |= {"attention.scale": 0.2, "embedding_scale": 2.0, "residual_scale": 0.5, "logit_scale": 0.7}
    if a == "stablelm":
        keys = {"rope.dimension_count": head_dim // 4, "use_parallel_residual": False}
    if a in OF_EXPERTS:
        keys |= {"expert_count": model.experts, "expert_used_count": 2}
    if a in ("qwen2moe", "qwen3moe"):
        keys |= {"expert_feed_forward_length": model.expert_ffn}
    if a == "qwen2moe":
        keys |= {"expert_shared_feed_forward_length": model.ffn // 2}
    return keys


def layer_shapes(model: TinyModel) -> dict[str, tuple[int, ...]]:
    """Row-major shapes, by llama.cpp's names without the layer's."""
    a, dim = model.architecture, model.dim
    query, key = model.heads * model.head_dim, model.kv_heads * model.head_dim
    shapes: dict[str, tuple[int, ...]] = {"attn_norm.weight": (dim,)}
    if a == "phi3":
        shapes |= {"attn_qkv.weight": (query + 2 * key, dim)}
    else:
        shapes |= {"attn_q.weight": (query, dim), "attn_k.weight": (key, dim), "attn_v.weight": (key, dim)}
    shapes |= {"attn_output.weight": (dim, query), "ffn_norm.weight": (dim,), **_feed_forward(model)}
    if a in ("qwen2", "qwen2moe"):
        shapes |= {"attn_q.bias": (query,), "attn_k.bias": (key,), "attn_v.bias": (key,)}
    if a in ("gemma3", "qwen3", "qwen3moe"):
        shapes |= {"attn_q_norm.weight": (model.head_dim,), "attn_k_norm.weight": (model.head_dim,)}
    if a == "olmo2":
        shapes |= {"attn_q_norm.weight": (query,), "attn_k_norm.weight": (key,)}
        del shapes["attn_norm.weight"], shapes["ffn_norm.weight"]
    if a in (*GEMMAS, "olmo2"):
        shapes |= {"post_attention_norm.weight": (dim,), "post_ffw_norm.weight": (dim,)}
    if a == "stablelm":
        shapes |= {"attn_norm.bias": (dim,), "ffn_norm.bias": (dim,)}
    return shapes


def _feed_forward(model: TinyModel) -> dict[str, tuple[int, ...]]:
    dim, wide = model.dim, model.ffn
    if model.architecture == "phi3":
        return {"ffn_up.weight": (2 * wide, dim), "ffn_down.weight": (dim, wide)}
    if model.architecture not in OF_EXPERTS:
        return _gated("", (wide, dim), (dim, wide))
    count, each = model.experts, model.expert_ffn
    shapes = {"ffn_gate_inp.weight": (count, dim), **_gated("_exps", (count, each, dim), (count, dim, each))}
    if model.architecture == "qwen2moe":
        shapes |= {"ffn_gate_inp_shexp.weight": (dim,), **_gated("_shexp", (wide // 2, dim), (dim, wide // 2))}
    return shapes


def _gated(suffix: str, wide: tuple[int, ...], narrow: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"ffn_gate{suffix}.weight": wide, f"ffn_up{suffix}.weight": wide, f"ffn_down{suffix}.weight": narrow}
