"""Checkpoints that transformers saved compute what transformers computes from them, whatever their configs say how."""

from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.sources import open_source
from tests.templates.running import LENGTH, TOKENS, Running, load, options
from tests.templates.weights import error
from tests.tiny_checkpoints import edit_json, reference_logits, write_checkpoint, write_seeing_checkpoint

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
GEMMA: dict[str, Any] = {
    "num_hidden_layers": 7,
    "sliding_window": 16,
    "query_pre_attn_scalar": 32,
    "tie_word_embeddings": True,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    },
}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, tied, biases, bfloat16, shards": (
        "llama",
        {"tie_word_embeddings": True, "attention_bias": True, "dtype": "bfloat16", "max_shard_size": "300KB"},
    ),
    "llama, linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}}),
    "llama, rope of llama 3": ("llama", {"rope_parameters": {**LLAMA3, "rope_theta": 5e5}}),
    "llama, yarn": ("llama", {"rope_parameters": {**YARN, "rope_theta": 1e4, "attention_factor": 1.3}}),
    "mistral, window, float16": ("mistral", {"sliding_window": 16, "dtype": "float16"}),
    "qwen2, yarn": ("qwen2", {"rope_parameters": {**YARN, "rope_theta": 1e6}, "tie_word_embeddings": True}),
    "gemma3": ("gemma3_text", GEMMA),
}


def _check(folder: Path) -> None:
    wanted = reference_logits(folder, TOKENS[:1])[0]
    with open_source(str(folder)) as source:
        model = load(source, options("f32"))
        found = Running(model).in_chunks(TOKENS[0], [1, 20, 1, 14])
    assert set(found) == {1, 21, 22, LENGTH}
    for length, logits in found.items():
        assert error(logits, wanted[length - 1]) < 1e-5, length


@pytest.mark.parametrize(("model_type", "config"), CASES.values(), ids=CASES.keys())
def test_logits_are_those_of_transformers(tmp_path: Path, model_type: str, config: dict[str, Any]) -> None:
    _check(write_checkpoint(tmp_path / "model", model_type, **config))


@pytest.mark.parametrize("scaling", [None, {"type": "linear", "factor": 2.0}, LLAMA3], ids=["none", "linear", "llama3"])
def test_configs_of_older_versions(tmp_path: Path, scaling: dict[str, Any] | None) -> None:
    folder = write_checkpoint(tmp_path / "model", "llama")
    edit_json(folder / "config.json", rope_parameters=None, rope_theta=500000.0, rope_scaling=scaling)
    _check(folder)


def test_the_language_model_of_one_that_sees(tmp_path: Path) -> None:
    _check(write_seeing_checkpoint(tmp_path / "model", **GEMMA))


def test_a_gemma_config_of_an_older_version(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", "gemma3_text", **GEMMA)
    old = {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    edit_json(folder / "config.json", rope_parameters=None, layer_types=None, sliding_window_pattern=6, **old)
    _check(folder)
