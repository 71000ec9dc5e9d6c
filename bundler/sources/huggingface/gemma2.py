"""Gemma 2."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import DECODER, NUMBERS, SIZES, CheckpointMap, plus_one
from sharkpack.bundler.sources.huggingface.derived import Derived
from sharkpack.bundler.sources.huggingface.layer_types import refuse_other_layers
from sharkpack.bundler.sources.huggingface.rope import plain_rope
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

MODULES = {
    **DECODER,
    "model.layers.{}.post_attention_layernorm": "blk.{}.post_attention_norm",
    "model.layers.{}.pre_feedforward_layernorm": "blk.{}.ffn_norm",
    "model.layers.{}.post_feedforward_layernorm": "blk.{}.post_ffw_norm",
}


def _derive(config: Metadata) -> Derived:
    refuse_other_layers(config, lambda layer: "full_attention" if layer % 2 else "sliding_attention")
    divisor = config.floating("query_pre_attn_scalar")
    if not divisor > 0:
        raise SharkpackError(f"{config.path}: 'query_pre_attn_scalar' is {divisor:g}; it must be positive")
    rope = plain_rope(config)
    return Derived(values={**rope.values, "attention.scale": divisor**-0.5}, tensors=rope.tensors)


GEMMA2 = CheckpointMap(
    model_types=("gemma2",),
    architecture="gemma2",
    sizes={**SIZES, "sliding_window": "attention.sliding_window"},
    # No cap (null) is another model than one with the default caps: both are to be said.
    numbers={
        **NUMBERS,
        "attn_logit_softcapping": "attn_logit_softcapping",
        "final_logit_softcapping": "final_logit_softcapping",
    },
    defaults={"head_dim": 256, "sliding_window": 4096, "query_pre_attn_scalar": 256, "tie_word_embeddings": True},
    expects={
        "hidden_activation": ("gelu_pytorch_tanh",),
        "hidden_act": ("gelu_pytorch_tanh",),
        "use_bidirectional_attention": (False,),
    },
    # Biases are tensors, and are used where there are some; the other repeats 'sliding_window' in some files.
    ignores=frozenset({"attention_bias", "sliding_window_size"}),
    modules=MODULES,
    transforms={name: plus_one for name in MODULES.values() if name.endswith("norm")},
    derive=_derive,
    derived_from=frozenset({"layer_types", "query_pre_attn_scalar"}),
)
