"""StableLM 3B and StableLM 2."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap

STABLELM = CheckpointMap(
    model_types=("stablelm",),
    architecture="stablelm",
    numbers={"layer_norm_eps": "attention.layer_norm_epsilon"},
    flags={"use_parallel_residual": "use_parallel_residual"},
    defaults={
        "layer_norm_eps": 1e-5,
        "partial_rotary_factor": 0.25,
        "use_parallel_residual": False,
        "tie_word_embeddings": False,
    },
    expects={"hidden_act": ("silu",), "qk_layernorm": (False,)},
    ignores=frozenset({"use_qkv_bias"}),  # biases are tensors, and are used where there are some
)
