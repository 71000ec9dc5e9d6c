"""Gemma 3: models of text, and the language model of those that see images too."""

from dataclasses import replace

from sharkpack.bundler.sources.huggingface.checkpoint_map import DECODER, SIZES, CheckpointMap, plus_one
from sharkpack.bundler.sources.huggingface.derived import Derived
from sharkpack.bundler.sources.huggingface.layer_types import refuse_other_layers
from sharkpack.bundler.sources.huggingface.rope import rope_of, rope_parameters
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

GLOBAL_EVERY = 6
LAYERS_OF_27B = 62

MODULES = {
    **DECODER,
    "model.layers.{}.self_attn.q_norm": "blk.{}.attn_q_norm",
    "model.layers.{}.self_attn.k_norm": "blk.{}.attn_k_norm",
    "model.layers.{}.post_attention_layernorm": "blk.{}.post_attention_norm",
    "model.layers.{}.pre_feedforward_layernorm": "blk.{}.ffn_norm",
    "model.layers.{}.post_feedforward_layernorm": "blk.{}.post_ffw_norm",
}


def _derive(config: Metadata) -> Derived:
    refuse_other_layers(config, _layer_type)
    _check_scale(config)
    nested = config.values.get("rope_parameters")
    if not isinstance(nested, dict) or "full_attention" not in nested:
        wide = rope_of(config, rope_parameters(config))
        local = config.floating("rope_local_base_freq")
    else:
        full, sliding = (
            rope_parameters(Metadata(path=config.path, values={"rope_parameters": nested.get(kind)}))
            for kind in ("full_attention", "sliding_attention")
        )
        wide, local = rope_of(config, full), sliding.floating("rope_theta")
        if rope_of(config, sliding).values != {"rope.freq_base": local}:
            raise SharkpackError(f"{config.path}: a scaled rope of sliding layers is not supported")
    return Derived(values={**wide.values, "rope.freq_base_swa": local}, tensors=wide.tensors)


def _layer_type(layer: int) -> str:
    return "full_attention" if layer % GLOBAL_EVERY == GLOBAL_EVERY - 1 else "sliding_attention"


def _check_scale(config: Metadata) -> None:
    """The recipe takes the scale of queries from the sizes, as GGUF files do not have it."""
    wanted: float = config.integer("head_dim")
    if config.integer("num_hidden_layers") == LAYERS_OF_27B:
        wanted = config.integer("hidden_size") / max(config.integer("num_attention_heads"), 1)
    found = config.floating("query_pre_attn_scalar")
    if found != wanted:
        raise SharkpackError(f"{config.path}: 'query_pre_attn_scalar' is {found:g}; supported here: {wanted:g}")


GEMMA3 = CheckpointMap(
    model_types=("gemma3_text",),
    architecture="gemma3",
    sizes={**SIZES, "sliding_window": "attention.sliding_window"},
    defaults={
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "sliding_window": 4096,
        "max_position_embeddings": 131072,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "tie_word_embeddings": True,
    },
    expects={
        "hidden_activation": ("gelu_pytorch_tanh",),
        "hidden_act": ("gelu_pytorch_tanh",),
        "use_bidirectional_attention": (False,),
        "sliding_window_pattern": (GLOBAL_EVERY,),
        "_sliding_window_pattern": (GLOBAL_EVERY,),
        "attention_bias": (False,),
    },
    modules=MODULES,
    transforms={name: plus_one for name in MODULES.values() if name.endswith("norm")},
    derive=_derive,
    derived_from=frozenset({"layer_types", "query_pre_attn_scalar"}),
)

SEEING = ("vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector.")
GEMMA3_OF_IMAGES = replace(
    GEMMA3,
    model_types=("gemma3",),
    inside="text_config",
    modules={f"language_model.{name}": target for name, target in MODULES.items()}
    | {f"model.language_model.{name.removeprefix('model.')}": target for name, target in MODULES.items()},
    drops_under=SEEING,
)
