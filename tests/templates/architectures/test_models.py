"""Models of quantised weights whole, run eagerly: against transformers' implementation where `_reference` has it, and
against themselves in other portions."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers
from torch import Tensor

from sharkpack.bundler.sources import open_source
from sharkpack.bundler.sources.model import SourceModel
from sharkpack.formats.quant import dequantize
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.ops import rounding_activations
from tests.templates.running import LENGTH, TOKENS, Running, load, options
from tests.templates.weights import error
from tests.tiny_models import write_tiny_gguf

ARCHITECTURES = (*RECIPES, "mixtral")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@contextmanager
def _source(folder: Path, architecture: str, **overrides: Any) -> Iterator[SourceModel]:
    given = {"dim": 128, "head_dim": 32, "context": 64} | overrides
    with open_source(str(write_tiny_gguf(folder / "tiny.gguf", architecture, **given))) as source:
        # GGUF asks for ggml's GELU, which rounds to float16; the maths of the architecture is another source's.
        yield replace(source, kind="reference")


def _check_against_reference(source: SourceModel, **rope: Any) -> None:
    """Prefill, decode and prefill again, within pages and windows and across them."""
    logits = Running(load(source, options("f32"))).in_chunks(TOKENS[0], [1, 1, 14, 1, 18, 1])
    wanted = _reference(source, **rope)(TOKENS[:1]).logits[0]
    for length, found in logits.items():
        assert error(found, wanted[length - 1]) < 1e-5, length


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("quantization", ["Q8_0", "Q4_K"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3"])
def test_logits_are_those_of_transformers(folder: Path, architecture: str, quantization: str) -> None:
    wide = {"dim": 256, "ffn": 256, "head_dim": 64} if quantization == "Q4_K" else {}
    with _source(folder, architecture, quantization=quantization, tied=quantization == "Q4_K", **wide) as source:
        _check_against_reference(source)


def test_linear_rope_scaling(folder: Path) -> None:
    keys = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0}
    with _source(folder, "llama", metadata=keys) as source:
        _check_against_reference(source, rope_type="linear", factor=4.0)
        with pytest.raises(AssertionError):
            _check_against_reference(source)


def test_rope_factors_of_llama_three(folder: Path) -> None:
    with _source(folder, "llama", rope_factors=True) as source:
        factors = dequantize("F32", source.tensor("rope_freqs.weight").read(), (16,))
        _check_against_reference(source, divisors=torch.from_numpy(factors.copy()))
        with pytest.raises(AssertionError):
            _check_against_reference(source)


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("activations", ["float32", "int8"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_portions_do_not_matter(folder: Path, architecture: str, activations: Literal["int8", "float32"]) -> None:
    """Prefill at once, in chunks that end within pages and within Gemma's window, and with decode steps between."""
    with _source(folder, architecture) as source:
        model = load(source, options("f32"))
    with rounding_activations() if activations == "int8" else nullcontext():
        whole = Running(model).in_chunks(TOKENS[0], [LENGTH])[LENGTH]
        chunks = Running(model).in_chunks(TOKENS[0], [7, 20, 1, 8])
        single = Running(model).in_chunks(TOKENS[0], [6, 1, 9, 1, 9, 1, 1, 6, 1, 1])
    # 8-bit codes of activations that differ in the last bit may round to neighbours.
    tolerance = 1e-5 if activations == "float32" else 2e-2
    assert error(single[LENGTH], whole) < tolerance
    for length, logits in chunks.items():
        assert error(logits, single[length]) < tolerance
        assert length == LENGTH or error(logits, whole) > 10 * tolerance


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_batch_is_its_sequences_alone(folder: Path, architecture: str) -> None:
    """Sequences of different lengths, padded in prefill; a decode step each; one more while the other rests."""
    with _source(folder, architecture) as source:
        model = load(source, options("f32"))
    alone = [Running(model).in_chunks(TOKENS[0], [30, 1, 1]), Running(model).in_chunks(TOKENS[1], [11, 1])]
    both = Running(model, 2)
    prefill = both.step(TOKENS[:, :30], [0, 0], [30, 11])
    decode = both.step(TOKENS[[0, 1], [30, 11]][:, None], [30, 11], [31, 12])
    for n in range(2):
        first = (30, 11)[n]
        assert error(prefill[n], alone[n][first]) < 1e-5
        assert error(decode[n], alone[n][first + 1]) < 1e-5
    both.page_ids[1] = 0
    resting = both.step(torch.stack([TOKENS[0, 31:32], torch.zeros(1, dtype=torch.int64)]), [31, 0], [32, 1])
    assert error(resting[0], alone[0][32]) < 1e-5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_default_precision_is_close(folder: Path, architecture: str) -> None:
    """8-bit activations and a float16 cache: off by rounding, but not equal."""
    with _source(folder, architecture) as source:
        exact, half = load(source, options("f32")), load(source, options("f16"))
    wanted = Running(exact).in_chunks(TOKENS[0], [LENGTH])[LENGTH]
    with rounding_activations():
        found = Running(half).in_chunks(TOKENS[0], [LENGTH])[LENGTH]
    assert 1e-4 < error(found, wanted) < 5e-2


def test_ggml_gelu_is_chosen_for_gguf(folder: Path) -> None:
    with _source(folder, "gemma3", layers=1) as source:
        models = [load(replace(source, kind=kind), options("f32")) for kind in ("gguf", "reference")]
    logits = [Running(model).in_chunks(TOKENS[0], [8])[8] for model in models]
    assert 1e-6 < error(logits[0], logits[1]) < 1e-2


# The same model in transformers, from the source's own values.


def _reference(source: SourceModel, *, divisors: Tensor | None = None, **scaling: Any) -> Any:
    """Its forward; `divisors` of Llama's frequencies, `scaling` as transformers' rope parameters have it."""
    shared, weights = _config(source), _renamed(source)
    if source.architecture == "gemma3":
        model: Any = transformers.Gemma3ForCausalLM(_gemma3(source, shared))
        weights = {name: w - 1 if "norm" in name else w for name, w in weights.items()}
    else:
        rope = {"rope_type": "default", "rope_theta": 1e4} | scaling
        if source.architecture == "llama":
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shared, rope_parameters=rope))
        else:
            model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shared, rope_parameters=rope))
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    if divisors is not None:
        model.model.rotary_emb.inv_freq /= divisors
    return torch.no_grad()(model.eval().forward)


def _config(source: SourceModel) -> dict[str, Any]:
    """The keys that transformers' configs of all these architectures have."""
    heads = source.integer("attention.head_count")
    return {
        "hidden_size": source.integer("embedding_length"),
        "intermediate_size": source.integer("feed_forward_length"),
        "num_hidden_layers": source.integer("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": source.integer("attention.head_count_kv"),
        "head_dim": source.tensor("blk.0.attn_q.weight").shape[0] // heads,
        "vocab_size": source.tensor("token_embd.weight").shape[0],
        "rms_norm_eps": source.floating("attention.layer_norm_rms_epsilon"),
        "max_position_embeddings": source.integer("context_length"),
        "tie_word_embeddings": "output.weight" not in source.tensors,
        "attn_implementation": "eager",
    }


def _gemma3(source: SourceModel, shared: dict[str, Any]) -> Any:
    return transformers.Gemma3TextConfig(
        **shared,
        query_pre_attn_scalar=shared["head_dim"],
        sliding_window=source.integer("attention.sliding_window"),
        layer_types=[("full" if i % 6 == 5 else "sliding") + "_attention" for i in range(shared["num_hidden_layers"])],
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        },
        hidden_activation="gelu_pytorch_tanh",
    )


@cache
def _names(architecture: str) -> dict[str, str]:
    """llama.cpp's names of a layer's parts -> transformers'."""
    names = {
        "attn_norm": "input_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_norm": "post_attention_layernorm",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    if architecture == "gemma3":
        names |= {
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
            "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm",
        }
    return names


def _renamed(source: SourceModel) -> dict[str, Tensor]:
    outer = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
    found = {}
    for name, tensor in source.tensors.items():
        values = torch.from_numpy(dequantize(tensor.type_name, tensor.read(), tensor.shape).copy())
        part, _, kind = name.rpartition(".")
        if part == "rope_freqs":
            continue
        if part.startswith("blk."):
            _, layer, part = part.split(".")
            if source.architecture == "llama" and part in ("attn_q", "attn_k"):
                values = _halves(values, source.integer("rope.dimension_count"))
            found[f"model.layers.{layer}.{_names(source.architecture)[part]}.{kind}"] = values
        else:
            found[f"{outer[part]}.{kind}"] = values
    return found


def _halves(rows: Tensor, head_dim: int) -> Tensor:
    """Undo what llama.cpp's converter does to q and k of Llama: rows (2i, 2i + 1) of a head were i and i + half."""
    return rows.reshape(-1, head_dim // 2, 2, rows.shape[1]).transpose(1, 2).reshape(rows.shape)
