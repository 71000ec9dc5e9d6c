"""Qwen3, dense."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import DECODER, CheckpointMap
from sharkpack.bundler.sources.huggingface.qwen2 import full_attention

QWEN3 = CheckpointMap(
    model_types=("qwen3",),
    architecture="qwen3",
    defaults={"tie_word_embeddings": False, "head_dim": 128},
    expects={"hidden_act": ("silu",), "use_sliding_window": (False,)},
    # A bias is a tensor, and is used where there is one; the other two matter under 'use_sliding_window'.
    ignores=frozenset({"attention_bias", "sliding_window", "max_window_layers"}),
    modules={
        **DECODER,
        "model.layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
        "model.layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    },
    derive=full_attention,
    derived_from=frozenset({"layer_types"}),
)
