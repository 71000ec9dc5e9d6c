"""Granite 3, dense."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import NUMBERS, CheckpointMap

SCALES = {
    "attention_multiplier": "attention.scale",
    "embedding_multiplier": "embedding_scale",
    "residual_multiplier": "residual_scale",
    "logits_scaling": "logit_scale",
}

GRANITE = CheckpointMap(
    model_types=("granite",),
    architecture="granite",
    numbers={**NUMBERS, **SCALES},
    defaults={**dict.fromkeys(SCALES, 1.0), "tie_word_embeddings": False},
    expects={"hidden_act": ("silu",), "mlp_bias": (False,)},
    ignores=frozenset({"attention_bias"}),  # biases are tensors, and are used where there are some
)
