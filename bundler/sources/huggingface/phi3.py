"""Phi-3, Phi-3.5-mini and Phi-4-mini, with their rope for long contexts."""

import math
from typing import Any

import numpy as np

from sharkpack.bundler.sources.huggingface.checkpoint_map import DECODER, SIZES, CheckpointMap
from sharkpack.bundler.sources.huggingface.derived import Derived, Floats
from sharkpack.bundler.sources.huggingface.rope import head_dim, rope_of, rope_parameters
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

LONGROPE_NAMES = ("longrope", "su", "yarn")
"""Older files call it by the other two."""

LONGROPE_KEYS = ("short_factor", "long_factor", "original_max_position_embeddings", "factor", "attention_factor")

MODULES = {
    **DECODER,
    "model.layers.{}.self_attn.qkv_proj": "blk.{}.attn_qkv",
    "model.layers.{}.mlp.gate_up_proj": "blk.{}.ffn_up",
}


def _derive(config: Metadata) -> Derived:
    rope = rope_parameters(config)
    if rope.text("rope_type") not in LONGROPE_NAMES:
        return rope_of(config, rope)
    rest = {key: value for key, value in rope.values.items() if key not in LONGROPE_KEYS}
    plain = rope_of(config, Metadata(path=rope.path, values={**rest, "rope_type": "default"}))
    trained = config.integer("max_position_embeddings")
    original = rope.integer(
        "original_max_position_embeddings", config.integer("original_max_position_embeddings", trained)
    )
    values: dict[str, Any] = {
        "rope.scaling.original_context_length": original,
        "rope.scaling.attn_factor": rope.floating("attention_factor", _magnitude(config, rope, trained, original)),
    }
    rotated = plain.values.get("rope.dimension_count", head_dim(config))
    tensors = {f"rope_factors_{kind}.weight": _factors(rope, f"{kind}_factor", rotated) for kind in ("short", "long")}
    return Derived(values={**plain.values, **values}, tensors=tensors)


def _magnitude(config: Metadata, rope: Metadata, trained: int, original: int) -> float:
    """LongRoPE (arXiv 2402.13753): the factor on cosines and sines of a context so many times the original."""
    if original < 2:
        raise SharkpackError(f"{config.path}: 'original_max_position_embeddings' is {original}; it must be at least 2")
    factor = rope.floating("factor", trained / original)
    return math.sqrt(1.0 + math.log(factor) / math.log(original)) if factor > 1.0 else 1.0


def _factors(rope: Metadata, key: str, rotated: int) -> Floats:
    found = rope.floats(key)
    if len(found) != rotated // 2:
        raise SharkpackError(f"{rope.path}: '{key}' of rope has {len(found)} numbers; expected {rotated // 2}")
    return np.array(found, np.float32)


PHI3 = CheckpointMap(
    model_types=("phi3",),
    architecture="phi3",
    sizes={**SIZES, "sliding_window": "attention.sliding_window"},
    optional=frozenset({"num_key_value_heads", "head_dim", "sliding_window"}),
    defaults={"tie_word_embeddings": False},
    expects={
        "hidden_act": ("silu",),
        "attention_bias": (False,),
        "mlp_bias": (False,),
        "lm_head_bias": (False,),
        "full_attn_mod": (1,),
        "interpolate_factor": (1,),
    },
    modules=MODULES,
    derive=_derive,
    derived_from=frozenset({"original_max_position_embeddings"}),
)
