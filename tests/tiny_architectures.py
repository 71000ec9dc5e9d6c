"""Every architecture that a recipe computes, as a checkpoint that transformers writes and computes too."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.tiny_checkpoints import write_checkpoint

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "original_max_position_embeddings": 32,
    "short_factor": [1.0 + 0.1 * i for i in range(16)],
    "long_factor": [1.5 + 0.5 * i for i in range(16)],
}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
EXPERTS = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 48}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiny:
    """transformers' name of a type of models, and what its config has that `write_checkpoint` does not give it."""

    model_type: str
    config: Mapping[str, Any] = field(default_factory=dict)


TINY: Mapping[str, Tiny] = {
    "llama": Tiny(model_type="llama", config={"num_key_value_heads": 4}),
    "llama3": Tiny(model_type="llama", config={"rope_parameters": LLAMA3, "tie_word_embeddings": True}),
    "mistral": Tiny(model_type="mistral", config={"sliding_window": 11}),
    "qwen2": Tiny(model_type="qwen2", config={"tie_word_embeddings": True}),
    "qwen3": Tiny(model_type="qwen3"),
    "gemma2": Tiny(
        model_type="gemma2",
        config={
            "num_hidden_layers": 3,
            "sliding_window": 11,
            "query_pre_attn_scalar": 24,
            "tie_word_embeddings": True,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 2.0,
        },
    ),
    "gemma3": Tiny(
        model_type="gemma3_text",
        config={"num_hidden_layers": 7, "sliding_window": 11, "query_pre_attn_scalar": 32},
    ),
    "phi3": Tiny(model_type="phi3", config={"sliding_window": 11}),
    "phi3-longrope": Tiny(
        model_type="phi3",
        config={"rope_parameters": LONGROPE, "original_max_position_embeddings": 32},
    ),
    "granite": Tiny(
        model_type="granite",
        config={
            "attention_multiplier": 0.3,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.4,
            "logits_scaling": 2.5,
        },
    ),
    "olmo2": Tiny(model_type="olmo2"),
    "stablelm": Tiny(model_type="stablelm", config={"hidden_size": 192, "head_dim": 48, "use_qkv_bias": True}),
    "stablelm-parallel": Tiny(model_type="stablelm", config={"use_parallel_residual": True}),
    "mixtral": Tiny(model_type="mixtral", config={"num_local_experts": 5, "num_experts_per_tok": 2}),
    "qwen2moe": Tiny(model_type="qwen2_moe", config={"shared_expert_intermediate_size": 64, **EXPERTS}),
    "qwen3moe": Tiny(model_type="qwen3_moe", config={"norm_topk_prob": True, **EXPERTS}),
}


def write_architecture(folder: Path, name: str, **config: Any) -> Path:
    """Write the checkpoint `name` of TINY, with `config` over its own, into `folder`; the same weights each time."""
    tiny = TINY[name]
    return write_checkpoint(folder, tiny.model_type, **{**TOKENS, **tiny.config, **config})
