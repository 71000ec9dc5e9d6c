"""OLMo 2."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import ATTENTION, GATED_MLP, OUTER, CheckpointMap

PRE_NORM = "model.layers.{}.input_layernorm"

MODULES = {
    **OUTER,
    **{module: name for module, name in ATTENTION.items() if module != PRE_NORM},
    **GATED_MLP,
    "model.layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
    "model.layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    "model.layers.{}.post_attention_layernorm": "blk.{}.post_attention_norm",
    "model.layers.{}.post_feedforward_layernorm": "blk.{}.post_ffw_norm",
}

OLMO2 = CheckpointMap(
    model_types=("olmo2",),
    architecture="olmo2",
    defaults={"tie_word_embeddings": False},
    expects={"hidden_act": ("silu",)},
    ignores=frozenset({"attention_bias"}),  # biases are tensors, and are used where there are some
    modules=MODULES,
)
