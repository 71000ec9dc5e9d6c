"""Llama 2 and 3, Mistral, SmolLM."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import SIZES, CheckpointMap

LLAMA = CheckpointMap(
    model_types=("llama", "mistral"),
    architecture="llama",
    sizes={**SIZES, "sliding_window": "attention.sliding_window"},
    optional=frozenset({"num_key_value_heads", "head_dim", "sliding_window"}),
    defaults={"tie_word_embeddings": False},
    expects={"hidden_act": ("silu",), "mlp_bias": (False,), "rope_interleaved": (False,)},
    ignores=frozenset({"attention_bias"}),  # biases are tensors, and are used where there are some
)
