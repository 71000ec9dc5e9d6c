"""Mixtral, which a recipe knows as Llama with experts."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import SIZES, CheckpointMap
from sharkpack.bundler.sources.huggingface.experts import AROUND, IGNORED, stacks

MIXTRAL = CheckpointMap(
    model_types=("mixtral",),
    architecture="llama",
    sizes={
        **SIZES,
        "sliding_window": "attention.sliding_window",
        "num_local_experts": "expert_count",
        "num_experts_per_tok": "expert_used_count",
    },
    optional=frozenset({"num_key_value_heads", "head_dim", "sliding_window"}),
    defaults={"tie_word_embeddings": False, "num_local_experts": 8, "num_experts_per_tok": 2},
    expects={"hidden_act": ("silu",)},
    ignores=IGNORED,
    modules={**AROUND, **stacks("block_sparse_moe", "gate", gate="w1", up="w3", down="w2")},
)
