"""Qwen1.5-MoE, Qwen2-MoE and Qwen3-MoE."""

from sharkpack.bundler.sources.huggingface.checkpoint_map import OPTIONAL, SIZES, CheckpointMap
from sharkpack.bundler.sources.huggingface.experts import AROUND, IGNORED, stacks
from sharkpack.bundler.sources.huggingface.qwen2 import full_attention

EXPERT_SIZES = {
    **SIZES,
    "num_experts": "expert_count",
    "num_local_experts": "expert_count",
    "num_experts_per_tok": "expert_used_count",
    "moe_intermediate_size": "expert_feed_forward_length",
}
EITHER_NAME = OPTIONAL | {"num_experts", "num_local_experts"}
FLAGS = {"norm_topk_prob": "expert_weights_norm"}
DEFAULTS = {"norm_topk_prob": False, "tie_word_embeddings": False}
# A layer that is dense among layers of experts is another graph.
EXPECTS = {
    "hidden_act": ("silu",),
    "use_sliding_window": (False,),
    "decoder_sparse_step": (1,),
    "mlp_only_layers": ([],),
}
IGNORES = IGNORED | {"attention_bias", "qkv_bias", "sliding_window", "max_window_layers"}

MODULES = {**AROUND, **stacks("mlp", "gate", gate="gate_proj", up="up_proj", down="down_proj")}

QWEN2_MOE = CheckpointMap(
    model_types=("qwen2_moe",),
    architecture="qwen2moe",
    sizes={**EXPERT_SIZES, "shared_expert_intermediate_size": "expert_shared_feed_forward_length"},
    flags=FLAGS,
    optional=EITHER_NAME,
    defaults=DEFAULTS,
    expects=EXPECTS,
    ignores=IGNORES,
    modules={
        **MODULES,
        "model.layers.{}.mlp.shared_expert_gate": "blk.{}.ffn_gate_inp_shexp",
        "model.layers.{}.mlp.shared_expert.gate_proj": "blk.{}.ffn_gate_shexp",
        "model.layers.{}.mlp.shared_expert.up_proj": "blk.{}.ffn_up_shexp",
        "model.layers.{}.mlp.shared_expert.down_proj": "blk.{}.ffn_down_shexp",
    },
    derive=full_attention,
    derived_from=frozenset({"layer_types"}),
)

QWEN3_MOE = CheckpointMap(
    model_types=("qwen3_moe",),
    architecture="qwen3moe",
    sizes=EXPERT_SIZES,
    flags=FLAGS,
    optional=EITHER_NAME,
    defaults=DEFAULTS,
    expects=EXPECTS,
    ignores=IGNORES,
    modules={
        **MODULES,
        "model.layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
        "model.layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    },
    derive=full_attention,
    derived_from=frozenset({"layer_types"}),
)
