"""Hyperparameters of GGUF that change nothing, for recipes that do not read them: whatever their value, or at some.

The names are those of the GGUF specification and of llama.cpp. A key that is in neither table is refused by name.
"""

from collections.abc import Mapping
from typing import Any

DESCRIPTIVE_KEYS = frozenset(
    {
        *("context_length", "vocab_size", "block_count", "feed_forward_length", "embedding_length"),
        "tensor_data_layout",  # where the converter took the tensors from
        "rope.scaling.finetuned",
        "pooling_type",  # of embeddings that are asked for in place of logits
        "decoder_start_token_id",
        "attention.layer_norm_epsilon",  # of architectures whose norms are RMS norms
    }
)
"""Describe a model without changing what it computes."""

NEUTRAL_VALUES: Mapping[str, tuple[Any, ...]] = {
    "rope.scale_linear": (1.0, 0.0),
    "rope.scaling.type": ("none", ""),
    "rope.scaling.factor": (1.0, 0.0),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.yarn_log_multiplier": (0.0,),
    "rope.dimension_sections": ([0, 0, 0, 0], [0, 0, 0], []),
    "attention.causal": (True,),
    "attention.max_alibi_bias": (0.0,),
    "attention.clamp_kqv": (0.0,),
    "attention.sliding_window": (0,),
    "attention.sliding_window_pattern": (0, 1),
    "attention.output_scale": (1.0, 0.0),
    "attention.temperature_length": (0,),
    "attention.temperature_scale": (0.0,),
    "attention.q_lora_rank": (0,),
    "attention.kv_lora_rank": (0,),
    "attention.relative_buckets_count": (0,),
    "attention.shared_kv_layers": (0,),
    "attn_logit_softcapping": (0.0,),
    "final_logit_softcapping": (0.0,),
    "router_logit_softcapping": (0.0,),
    "use_parallel_residual": (False,),
    "logit_scale": (1.0, 0.0),
    "residual_scale": (1.0, 0.0),
    "embedding_scale": (1.0, 0.0),
    "swin_norm": (False,),
    "rescale_every_n_layers": (0,),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "expert_shared_count": (0,),
    "expert_group_count": (0, 1),
    "expert_group_used_count": (0, 1),
    "expert_feed_forward_length": (0,),
    "expert_shared_feed_forward_length": (0,),
    "expert_weights_scale": (1.0, 0.0),
    "expert_weights_norm": (False,),
    "expert_gating_func": (0, 1),
    "leading_dense_block_count": (0,),
    "moe_every_n_layers": (0, 1),
    "interleave_moe_layer_step": (0, 1),
    "nextn_predict_layers": (0,),
    "n_deepstack_layers": (0,),
}
"""Key -> the values at which it changes nothing. 0 of a scale is how llama.cpp writes that there is none; 1 of
`expert_gating_func` is softmax, which all recipes of experts compute."""


def is_neutral(key: str, value: object) -> bool:
    """Returns whether a recipe that does not read `key` computes the same with it as without."""
    if key in DESCRIPTIVE_KEYS:
        return True
    neutral = NEUTRAL_VALUES.get(key, ())
    return any(isinstance(value, bool) == isinstance(each, bool) and value == each for each in neutral)
