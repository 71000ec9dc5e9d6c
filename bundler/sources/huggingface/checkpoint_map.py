"""The mapping of a kind of checkpoint to a recipe: its config keys and its modules. Data only.

A new architecture is one file with one CheckpointMap in it, and one line in maps.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sharkpack.bundler.sources.huggingface.derived import Derived, Floats
from sharkpack.bundler.sources.huggingface.rope import plain_rope
from sharkpack.bundler.sources.metadata import Metadata

SIZES: Mapping[str, str] = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
}
NUMBERS: Mapping[str, str] = {"rms_norm_eps": "attention.layer_norm_rms_epsilon"}
OPTIONAL = frozenset({"num_key_value_heads", "head_dim"})

OUTER: Mapping[str, str] = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
ATTENTION: Mapping[str, str] = {
    "model.layers.{}.input_layernorm": "blk.{}.attn_norm",
    "model.layers.{}.self_attn.q_proj": "blk.{}.attn_q",
    "model.layers.{}.self_attn.k_proj": "blk.{}.attn_k",
    "model.layers.{}.self_attn.v_proj": "blk.{}.attn_v",
    "model.layers.{}.self_attn.o_proj": "blk.{}.attn_output",
}
GATED_MLP: Mapping[str, str] = {
    "model.layers.{}.mlp.gate_proj": "blk.{}.ffn_gate",
    "model.layers.{}.mlp.up_proj": "blk.{}.ffn_up",
    "model.layers.{}.mlp.down_proj": "blk.{}.ffn_down",
}
DECODER: Mapping[str, str] = {
    **OUTER,
    **ATTENTION,
    **GATED_MLP,
    "model.layers.{}.post_attention_layernorm": "blk.{}.ffn_norm",
}
"""The modules of the plain decoder that most architectures are."""

DESCRIPTIVE = frozenset(
    {
        *("architectures", "auto_map", "model_type", "_name_or_path", "transformers_version", "torch_dtype", "dtype"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "use_cache", "initializer_range", "pretraining_tp"),
        *("attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "embedding_dropout"),
        *("tie_word_embeddings", "quantization_config", "attn_implementation", "_attn_implementation"),
        *("rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor", "cache_implementation"),
        *("output_attentions", "output_hidden_states", "return_dict", "is_decoder", "is_encoder_decoder"),
        *("chunk_size_feed_forward", "problem_type", "id2label", "label2id", "torchscript", "unsloth_fixed"),
        *("unsloth_version", "is_llama_config", "transformers.js_config", "_attn_implementation_autoset"),
        # How to generate, which older versions keep here.
        *("max_length", "min_length", "do_sample", "temperature", "top_k", "top_p", "typical_p", "num_beams"),
        *("num_beam_groups", "num_return_sequences", "repetition_penalty", "length_penalty", "diversity_penalty"),
        *("no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids", "early_stopping"),
        *("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"),
        *("exponential_decay_length_penalty", "remove_invalid_values", "output_scores", "return_dict_in_generate"),
        *("sep_token_id", "unk_token_id", "decoder_start_token_id", "tokenizer_class", "prefix"),
        *("task_specific_params", "finetuning_task", "tf_legacy_loss", "use_bfloat16", "tie_encoder_decoder"),
        *("add_cross_attention", "cross_attention_hidden_size", "pruned_heads"),
        # What other tools, training and old versions leave.
        *("max_sequence_length", "max_seq_len", "max_seq_length", "seq_length", "model_max_length", "n_ctx"),
        *("_commit_hash", "_diffusers_version", "_flash_attn_2_enabled", "_remove_final_layer_norm"),
        *("use_flash_attn", "use_flash_attention", "use_flash_attention_2", "flash_attn", "attn_impl"),
        *("unsloth_tokenizer", "gradient_checkpointing", "ignore_index", "initializer_factor", "init_std"),
        *("classifier_dropout", "dropout", "dropout_rate", "residual_dropout", "ffn_dropout", "layerdrop"),
        *("summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj"),
        *("output_past", "output_router_logits", "router_aux_loss_coef", "router_z_loss_coef", "z_loss_weight"),
        *("use_fused_rms_norm", "use_fused_cross_entropy", "fused_rms_norm", "low_cpu_mem_usage", "pad_vocab_size"),
        *("model_name", "model_version", "license", "tags", "datasets", "eos_token", "bos_token", "pad_token"),
        *("renormalize_logits", "output_logits", "use_return_dict", "is_training", "torch_compile", "library_name"),
        *("min_new_tokens", "max_new_tokens", "penalty_alpha", "guidance_scale", "epsilon_cutoff", "eta_cutoff"),
    }
)
"""Keys that say nothing of the maths, or that are read where they matter (rope, tied embeddings, quantisation)."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": (False,),
    "qkv_bias": (False,),
    "mlp_bias": (False,),
    "use_bias": (False,),
    "bias": (False,),
    "add_bias_linear": (False,),
    "lm_head_bias": (False,),
    "use_qk_norm": (False,),
    "qk_layernorm": (False,),
    "use_parallel_residual": (False,),
    "parallel_attn": (False,),
    "alibi": (False,),
    "use_alibi": (False,),
    "use_sliding_window": (False,),
    "sliding_window": (0, -1),
    "use_mrope": (False,),
    "use_dynamic_ntk": (False,),
    "use_logn_attn": (False,),
    "use_bidirectional_attention": (False,),
    "is_causal": (True,),
    "causal": (True,),
    "rope_interleaved": (False,),
    "rope_scaling_factor": (1, 1.0),
    "clip_qkv": (0, 0.0),
    "logit_scale": (1, 1.0),
    "logits_scaling": (1, 1.0),
    "residual_multiplier": (1, 1.0),
    "embedding_multiplier": (1, 1.0),
    "attn_logit_softcapping": (0, 0.0),
    "final_logit_softcapping": (0, 0.0),
    "num_local_experts": (0,),
    "num_experts": (0,),
    "n_shared_experts": (0,),
    "num_nextn_predict_layers": (0,),
}
"""Keys -> the values at which they change nothing, for maps that do not read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointMap:
    """The mapping by which a checkpoint of one of `model_types` becomes a source for the recipe `architecture`.

    sizes, numbers, flags: config key -> hyperparameter; positive integers, finite numbers, booleans.
    optional: those of them that a config may lack; defaults: what holds for a key that it lacks.
    expects: config key -> the values whose maths the recipe computes; any other is refused.
    ignores: config keys that change nothing, beside DESCRIPTIVE; a key found nowhere here is refused.
    modules: module -> GGUF's name of it, without ".weight" or ".bias"; a number in the name stands as {}, and a number
        that GGUF's name has no place for counts the parts of a stack (experts).
    drops: modules whose tensors nothing needs; drops_under: what the names of such tensors begin with.
    inside: the config key under which the language model of a larger model has its config.
    transforms: GGUF's name, with {}, -> what is done to the values.
    derive: hyperparameters that are not simply one key's value; `derived_from` are the keys that it reads. It may
        refuse the config.
    """

    model_types: tuple[str, ...]
    architecture: str
    sizes: Mapping[str, str] = field(default_factory=lambda: SIZES)
    numbers: Mapping[str, str] = field(default_factory=lambda: NUMBERS)
    flags: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = OPTIONAL
    defaults: Mapping[str, Any] = field(default_factory=dict)
    expects: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ignores: frozenset[str] = frozenset()
    modules: Mapping[str, str] = field(default_factory=lambda: DECODER)
    drops: frozenset[str] = frozenset({"model.layers.{}.self_attn.rotary_emb"})
    drops_under: tuple[str, ...] = ()
    inside: str | None = None
    transforms: Mapping[str, Callable[[Floats], Floats]] = field(default_factory=dict)
    derive: Callable[[Metadata], Derived] = plain_rope
    derived_from: frozenset[str] = frozenset()

    def known_keys(self) -> frozenset[str]:
        own = (self.sizes, self.numbers, self.flags, self.defaults, self.expects, self.ignores, self.derived_from)
        return DESCRIPTIVE.union(*own)


def plus_one(values: Floats) -> Floats:
    """The weight of a norm that multiplies by 1 + weight."""
    return values + np.float32(1)
