"""Rotary embedding as a config describes it, old style (rope_theta, rope_scaling) or new (rope_parameters)."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sharkpack.bundler.sources.huggingface.derived import Derived, Floats
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

DEFAULT_THETA = 10000.0

# What each kind of scaling may say beside rope_theta and partial_rotary_factor.
_KEYS = {
    "default": frozenset[str](),
    "linear": frozenset({"factor"}),
    "llama3": frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
    "yarn": frozenset(
        {"factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "truncate"}
    ),
}


def plain_rope(config: Metadata) -> Derived:
    """The one rope of a config whose layers all have the same."""
    return rope_of(config, rope_parameters(config))


def rope_parameters(config: Metadata) -> Metadata:
    """Reads the config's rope, in the new style; null values left out."""
    found = config.values.get("rope_parameters")
    if found is None:
        found = dict(_object(config, "rope_scaling", config.values.get("rope_scaling", {})))
        found.setdefault("rope_theta", config.values.get("rope_theta", DEFAULT_THETA))
    found = dict(_object(config, "rope_parameters", found))
    old_name = found.pop("type", None)
    found.setdefault("rope_type", old_name or "default")
    if "partial_rotary_factor" in config.values:
        found.setdefault("partial_rotary_factor", config.values["partial_rotary_factor"])
    found.setdefault("rope_theta", config.values.get("rope_theta", DEFAULT_THETA))
    return Metadata(path=config.path, values={key: value for key, value in found.items() if value is not None})


def rope_of(config: Metadata, rope: Metadata) -> Derived:
    """Hyperparameters, and for Llama 3's scaling the divisors; SharkpackError for a scaling that is not known."""
    kind = rope.text("rope_type")
    if kind not in _KEYS:
        raise SharkpackError(f"{rope.path}: rope scaling {kind!r} is not supported; supported: {', '.join(_KEYS)}")
    for key in rope.values.keys() - _KEYS[kind] - {"rope_type", "rope_theta", "partial_rotary_factor"}:
        raise SharkpackError(f"{rope.path}: rope scaling '{kind}' has an unknown {key!r} = {rope.values[key]!r}")
    values: dict[str, Any] = {"rope.freq_base": rope.floating("rope_theta")}
    part = rope.floating("partial_rotary_factor", 1.0)
    if not 0 < part <= 1 or values["rope.freq_base"] <= 1:
        base = values["rope.freq_base"]
        raise SharkpackError(f"{rope.path}: rope with 'rope_theta' {base:g} and 'partial_rotary_factor' {part:g}")
    if part != 1.0:
        values["rope.dimension_count"] = int(head_dim(config) * part)
    if kind == "llama3":
        return Derived(values=values, tensors={"rope_freqs.weight": _llama3_divisors(config, rope, part)})
    if kind != "default":
        values |= {"rope.scaling.type": kind, "rope.scaling.factor": rope.floating("factor")}
    if kind == "yarn":
        values |= _yarn(config, rope)
    return Derived(values=values)


def _yarn(config: Metadata, rope: Metadata) -> Mapping[str, Any]:
    if rope.boolean("truncate", True) is not True:
        raise SharkpackError(f"{rope.path}: yarn with 'truncate' = false is not supported")
    factor = rope.floating("factor")
    trained = config.integer("max_position_embeddings")
    values = {
        "rope.scaling.original_context_length": rope.integer("original_max_position_embeddings", trained),
        "rope.scaling.yarn_beta_fast": rope.floating("beta_fast", 32.0),
        "rope.scaling.yarn_beta_slow": rope.floating("beta_slow", 1.0),
    }
    magnitude = rope.floating("attention_factor", None)
    if magnitude is not None and factor > 0:  # the recipe multiplies by the factor of the paper
        values["rope.scaling.attn_factor"] = magnitude / (1.0 + 0.1 * math.log(factor))
    return values


def _llama3_divisors(config: Metadata, rope: Metadata, part: float) -> Floats:
    """Returns the divisor of each frequency: 1 where it is high, `factor` where it is low, smooth between (Llama 3.1's
    reference code)."""
    factor, low, high = (rope.floating(key) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    trained, dim = rope.integer("original_max_position_embeddings"), int(head_dim(config) * part)
    if not (factor > 0 and high > low and trained > 0):
        raise SharkpackError(f"{rope.path}: rope scaling 'llama3' with factor {factor}, low {low}, high {high}")
    wavelengths = 2 * math.pi * np.power(rope.floating("rope_theta"), np.arange(0, dim, 2) / dim)
    smooth = np.clip((trained / wavelengths - low) / (high - low), 0.0, 1.0)
    return (1.0 / ((1.0 - smooth) / factor + smooth)).astype(np.float32)


def head_dim(config: Metadata) -> int:
    heads = config.integer("num_attention_heads")
    return config.integer("head_dim", config.integer("hidden_size") // max(heads, 1))


def _object(config: Metadata, key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise SharkpackError(f"{config.path}: '{key}' is {value!r}; expected an object")
    return value
