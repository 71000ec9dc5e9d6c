"""Hyperparameters that contradict each other, or that a recipe does not compute, are refused in one sentence."""

from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.sources import open_source
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from tests.tiny_models import write_tiny_gguf

OPTIONS = ModelOptions(context_length=64, page_size=16, cache_dtype="f32")
YARN = {
    "llama.rope.scaling.type": "yarn",
    "llama.rope.scaling.factor": 2.0,
    "llama.rope.scaling.original_context_length": 64,
}

REFUSED = {
    "no heads": ({"metadata": {"llama.attention.head_count": 0}}, "0 attention heads cannot share"),
    "no kv heads": ({"metadata": {"llama.attention.head_count_kv": 0}}, "cannot share 0 key and value heads"),
    "heads do not divide": ({"kv_heads": 3}, "4 attention heads cannot share 3 key and value heads"),
    "rope wider than a head": (
        {"metadata": {"llama.rope.dimension_count": 64}},
        "rope.dimension_count is 64, more than the 32 dimensions of a head",
    ),
    "values of another size": (
        {"metadata": {"llama.attention.value_length": 16}},
        "attention.value_length is not attention.key_length (32)",
    ),
    "yarn by nothing": ({"metadata": YARN | {"llama.rope.scaling.factor": 0.0}}, "rope.scaling.factor is 0.0"),
    "linear by nothing": (
        {"metadata": {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 0.0}},
        "rope.scaling.factor is 0.0; it must be positive",
    ),
    "yarn that is not read": (
        {"metadata": YARN | {"llama.rope.scaling.yarn_ext_factor": 0.0}},
        "hyperparameter 'llama.rope.scaling.yarn_ext_factor' = 0.0 is not known",
    ),
    "an epsilon below zero": (
        {"metadata": {"llama.attention.layer_norm_rms_epsilon": -1e-5}},
        "attention.layer_norm_rms_epsilon is -1e-05; it must be above zero",
    ),
    "an epsilon of zero": (
        {"metadata": {"llama.attention.layer_norm_rms_epsilon": 0.0}},
        "attention.layer_norm_rms_epsilon is 0; it must be above zero",
    ),
    "no layers": ({"metadata": {"llama.block_count": 0}}, "block_count is 0; it must be at least 1"),
    "a window of nothing": (
        {"architecture": "gemma3", "metadata": {"gemma3.attention.sliding_window": 0}},
        "attention.sliding_window is 0; it must be at least 1",
    ),
    "no window that scores are capped in": (
        {"architecture": "gemma2", "metadata": {"gemma2.attention.sliding_window": 0}},
        "attention.sliding_window is 0; it must be at least 1",
    ),
    "logits divided by nothing": (
        {"architecture": "granite", "metadata": {"granite.logit_scale": 0.0}},
        "logit_scale is 0; logits are divided by it",
    ),
    "more experts used than there are": (
        {"architecture": "qwen3moe", "metadata": {"qwen3moe.expert_used_count": 5}},
        "expert_used_count is 5; it must be from 1 to expert_count, 4",
    ),
    "no experts": (
        {"architecture": "qwen2moe", "metadata": {"qwen2moe.expert_used_count": 0}},
        "expert_used_count is 0; it must be from 1 to expert_count, 4",
    ),
    "experts that are no whole tiles": (
        {"architecture": "qwen3moe", "quantization": "F32", "ffn": 96},
        "the number of rows of an expert of blk.0.ffn_gate_exps.weight is 24; the kernels need a multiple of 16",
    ),
    "experts scaled": (
        {"architecture": "mixtral", "metadata": {"llama.expert_weights_scale": 2.5}},
        "hyperparameter 'llama.expert_weights_scale' = 2.5 is not known to the llama recipe",
    ),
    "q, k and v of other sizes together": (
        {"architecture": "phi3", "metadata": {"phi3.attention.head_count_kv": 1}},
        "tensor 'blk.0.attn_qkv.weight' has shape [256, 128]; the hyperparameters call for [192, 128]",
    ),
    "rope factors of no length": (
        {"architecture": "llama", "rope_factors": True, "metadata": {"llama.rope.dimension_count": 16}},
        "tensor 'rope_freqs.weight' has shape [16]; the hyperparameters call for [8]",
    ),
}


@pytest.mark.parametrize(("overrides", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_contradictions_are_refused(tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", **({"layers": 1} | overrides))
    with open_source(str(path)) as source, pytest.raises(SharkpackError) as error:
        RECIPES[source.architecture].build(source, OPTIONS)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
