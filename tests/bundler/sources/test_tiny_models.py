"""The tiny models are what other tests stand on: they open, hold finite weights, and are the same every time."""

from pathlib import Path

import gguf
import numpy as np
import pytest

from sharkpack.bundler.sources import TokenizerSource, open_source
from tests.tiny_models import write_tiny_gguf

QUANTIZATIONS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K")


@pytest.mark.parametrize("quantization", QUANTIZATIONS)
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3"])
def test_a_tiny_model_opens_with_sensible_weights(tmp_path: Path, architecture: str, quantization: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", architecture, quantization)
    with open_source(str(path)) as source:
        assert source.architecture == architecture
        assert isinstance(source.tokenizer, TokenizerSource)
        assert source.quantization.removesuffix("_M") == quantization
        assert source.tensor("token_embd.weight").shape == (
            len(source.tokenizer.tokens),
            source.integer("embedding_length"),
        )
        assert ("output.weight" in source.tensors) is False
        for tensor in source.tensors.values():
            kind = gguf.GGMLQuantizationType[tensor.type_name]
            assert tensor.type_name == ("F32" if len(tensor.shape) == 1 else quantization)
            rows = tensor.read().reshape(tensor.shape[0] if len(tensor.shape) == 2 else 1, -1)
            weights = gguf.quants.dequantize(rows, kind)
            assert np.isfinite(weights).all()
            if len(tensor.shape) == 2:
                expected = (3 if tensor.name == "token_embd.weight" else 1) * tensor.shape[1] ** -0.5
                assert 0.8 * expected < weights.std() < 1.3 * expected
                assert abs(weights.mean()) < 0.1 * expected


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_tiny_gguf(tmp_path / "a.gguf", "qwen2", "Q4_0", seed=3).read_bytes()
    assert first == write_tiny_gguf(tmp_path / "b.gguf", "qwen2", "Q4_0", seed=3).read_bytes()
    assert first != write_tiny_gguf(tmp_path / "c.gguf", "qwen2", "Q4_0", seed=4).read_bytes()


def test_overrides_change_shape_types_and_keys(tmp_path: Path) -> None:
    path = write_tiny_gguf(
        tmp_path / "tiny.gguf",
        layers=1,
        tied=False,
        rope_factors=True,
        types={"output.weight": "F16", "blk.0.ffn_down.weight": "Q4_1"},
        metadata={"llama.rope.scaling.type": "yarn", "llama.context_length": 64, "tokenizer.chat_template": None},
    )
    with open_source(str(path)) as source:
        assert source.integer("block_count") == 1
        assert source.tensor("output.weight").type_name == "F16"
        assert source.tensor("blk.0.ffn_down.weight").type_name == "Q4_1"
        assert source.tensor("rope_freqs.weight").shape == (16,)
        assert (source.text("rope.scaling.type"), source.integer("context_length")) == ("yarn", 64)
        assert isinstance(source.tokenizer, TokenizerSource)
        assert source.tokenizer.chat_templates == {}


def test_a_type_that_nothing_decodes_can_be_written(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", dim=256, ffn=256, head_dim=64, types={"blk.0.attn_q.weight": "Q8_K"})
    with open_source(str(path)) as source:
        assert source.tensor("blk.0.attn_q.weight").type_name == "Q8_K"
