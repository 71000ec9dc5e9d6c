"""Qwen2 and Qwen2.5."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import CheckpointMap
from sharkpack.bundler.sources.huggingface.derived import Derived
from sharkpack.bundler.sources.huggingface.layer_types import refuse_other_layers
from sharkpack.bundler.sources.huggingface.rope import plain_rope
from sharkpack.bundler.sources.metadata import Metadata


def full_attention(config: Metadata) -> Derived:
    refuse_other_layers(config, lambda layer: "full_attention")
    return plain_rope(config)


QWEN2 = CheckpointMap(
    model_types=("qwen2",),
    architecture="qwen2",
    defaults={"tie_word_embeddings": False},
    expects={"hidden_act": ("silu",), "use_sliding_window": (False,), "use_mrope": (False,)},
    ignores=frozenset({"sliding_window", "max_window_layers"}),  # of use_sliding_window
    derive=full_attention,
    derived_from=frozenset({"layer_types"}),
)
