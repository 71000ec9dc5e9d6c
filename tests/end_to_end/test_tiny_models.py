"""Every architecture and every type of weight, through build and run: the program against the recipe itself, run by
torch on the same weights in float32."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sharkpack.bundler.model_spec.weight_bytes import convert
from sharkpack.bundler.sources import open_source
from sharkpack.formats.host.cpu import host_cpu
from sharkpack.runtime_shim import Engine
from sharkpack.templates.architectures.recipes import RECIPES
from sharkpack.templates.layers.model_options import ModelOptions
from sharkpack.templates.ops.paged_cache import CACHE_DTYPES
from tests.end_to_end.command_line import build
from tests.tiny_models import write_tiny_gguf

PAGE_SIZE = 32
TOKENS = [7 * i % 290 + 1 for i in range(45)]  # more than a page, and than a sliding window


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A tiny model; `types` by the end of a tensor's name."""

    architecture: str
    quantization: str
    tied: bool = True
    types: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        types = {f"blk.{layer}.{name}.weight": kind for layer in (0, 1) for name, kind in self.types.items()}
        types |= {f"{name}.weight": kind for name, kind in self.types.items()}
        return write_tiny_gguf(path, self.architecture, self.quantization, tied=self.tied, types=types, **self.options)


CASES = {
    # Between them: every type of weight, as a matrix, as an embedding and as a head.
    "llama": Case(
        architecture="llama",
        quantization="Q4_0",
        types={"attn_k": "Q4_1", "attn_v": "Q5_0", "ffn_gate": "Q5_1", "ffn_up": "F16", "ffn_down": "Q8_0"},
    ),
    "llama-untied": Case(
        architecture="llama",
        quantization="Q4_K",
        tied=False,
        types={"attn_v": "Q5_K", "ffn_down": "Q6_K", "output": "Q6_K", "token_embd": "Q4_K", "ffn_up": "F32"},
        options={"rope_factors": True},
    ),
    "qwen2": Case(
        architecture="qwen2",
        quantization="Q8_0",
        tied=False,
        types={"attn_q": "Q4_1", "ffn_up": "Q5_1", "attn_k": "BF16", "token_embd": "Q5_0", "output": "F16"},
    ),
    "llama-codebooks": Case(
        architecture="llama",
        quantization="IQ2_XS",
        tied=False,
        types={"attn_k": "IQ1_S", "attn_v": "IQ2_XXS", "attn_output": "IQ1_M", "ffn_gate": "IQ2_S", "ffn_up": "IQ3_XXS"}
        | {"ffn_down": "IQ3_S", "output": "Q3_K", "token_embd": "Q2_K"},
    ),
    "qwen2-tables": Case(
        architecture="qwen2",
        quantization="IQ4_XS",
        tied=False,
        types={"attn_k": "IQ4_NL", "ffn_gate": "MXFP4", "ffn_up": "TQ2_0", "ffn_down": "TQ1_0", "attn_output": "Q3_K"}
        | {"output": "IQ4_NL", "token_embd": "MXFP4"},
    ),
    # What these show is the architecture: products in float32 are soon compiled.
    "gemma3": Case(architecture="gemma3", quantization="F32", types={"token_embd": "Q8_0"}),
    "gemma2": Case(architecture="gemma2", quantization="F32", types={"attn_v": "Q4_0", "ffn_down": "Q4_0"}),
    "qwen2moe": Case(
        architecture="qwen2moe", quantization="Q4_1", types={"ffn_gate_exps": "Q8_0", "ffn_up_exps": "F16"}
    ),
}


def _recipe_logits(
    source_path: Path, tokens: list[int], cache_dtype: Literal["f32", "i8"] = "f32"
) -> npt.NDArray[np.float32]:
    """Logits after each of `tokens` by the recipe in torch, all in float32 but, if so asked, the cache."""
    with open_source(str(source_path)) as source:
        options = ModelOptions(context_length=64, page_size=PAGE_SIZE, cache_dtype=cache_dtype)
        model = RECIPES[source.architecture].build(source, options)
        buffers = dict(model.named_buffers())
        for name, weight in model.weights.items():
            values = torch.from_numpy(convert(weight, source).copy())
            buffers[name].copy_(values.view(buffers[name].dtype).reshape(buffers[name].shape))
        cache = torch.zeros(3, model.cache_layout.page_elements, dtype=CACHE_DTYPES[cache_dtype])
        count = torch.tensor([len(tokens)])
        hidden, _ = model.hidden(torch.tensor([tokens]), torch.tensor([0]), count, torch.tensor([[1, 2]]), cache)
    result: npt.NDArray[np.float32] = model.head(model.norm(hidden)).numpy()
    return result


def _shown(name: str) -> Any:
    """A case, with the types of weights that it shows to work."""
    types = {CASES[name].quantization, *CASES[name].types.values()}
    return pytest.param(name, marks=[pytest.mark.supports(type=kind) for kind in sorted(types)])


@pytest.mark.parametrize("name", [_shown(name) for name in CASES])
def test_the_program_computes_what_the_recipe_says(name: str, tmp_path: Path) -> None:
    source, path = CASES[name].write(tmp_path / "tiny.gguf"), tmp_path / "tiny.shark"
    exact = ("--activations", "float32", "--cache-dtype", "f32", "--batch-sizes", "1")
    assert build(source, "-o", path, *exact, "--page-size", str(PAGE_SIZE), "--context", "64") == 0
    expected = _recipe_logits(source, TOKENS)
    with Engine.open(path) as engine:
        each, last = engine.all_logits(TOKENS), engine.logits(TOKENS)
        decoded = engine.generate(TOKENS[:40], max_tokens=3).result().token_ids
        assert list(decoded) == _greedy(engine, TOKENS[:40], len(decoded))
    scale = float(np.abs(expected - expected.mean()).max())
    assert scale > 0.5
    assert float(np.abs(each - expected).max()) < 1e-3 * scale
    assert float(np.abs(last - expected[-1]).max()) < 1e-3 * scale


def test_the_target_without_kernels(tmp_path: Path) -> None:
    """All operators, in one layer: prefill, and decode steps that give what prefill gives."""
    case = replace(CASES["qwen2moe"], options={"layers": 1})
    source, path = case.write(tmp_path / "tiny.gguf"), tmp_path / "tiny.shark"
    target = {"x86_64": "generic-x86-64", "aarch64": "generic-aarch64"}[host_cpu().architecture]
    options = ("--target", target, "--cache-dtype", "f32", "--batch-sizes", "1", "--page-size", str(PAGE_SIZE))
    assert build(source, "-o", path, *options, "--context", "64") == 0
    expected = _recipe_logits(source, TOKENS)
    with Engine.open(path) as engine:
        found = engine.all_logits(TOKENS)
        decoded = engine.generate(TOKENS[:40], max_tokens=3).result().token_ids
        assert list(decoded) == _greedy(engine, TOKENS[:40], len(decoded))
    assert float(np.abs(found - expected).max()) < 1e-4 * float(np.abs(expected).max())


def _greedy(engine: Engine, tokens: list[int], count: int) -> list[int]:
    """The tokens that decoding has to give, by prefills of the whole text."""
    for _ in range(count):
        tokens = [*tokens, int(engine.logits(tokens).argmax())]
    return tokens[-count:] if count else []


def test_an_8_bit_cache_is_what_the_recipe_quantises(tmp_path: Path) -> None:
    """Prefill and decode, in layers with windows and without; a rounding that falls on the other side of a tie costs
    far less than the rounding itself."""
    source, path = CASES["gemma3"].write(tmp_path / "tiny.gguf"), tmp_path / "tiny.shark"
    options = ("--activations", "float32", "--cache-dtype", "i8", "--batch-sizes", "1", "--page-size", str(PAGE_SIZE))
    assert build(source, "-o", path, *options, "--context", "64") == 0
    expected, exact = _recipe_logits(source, TOKENS, "i8"), _recipe_logits(source, TOKENS)
    with Engine.open(path) as engine:
        found = engine.all_logits(TOKENS)
        decoded = engine.generate(TOKENS[:30], max_tokens=6).result().token_ids
        assert list(decoded) == _greedy(engine, TOKENS[:30], len(decoded))
    scale = float(np.abs(exact - exact.mean()).max())
    effect = float(np.abs(expected - exact).max())
    assert 0 < effect < 0.05 * scale
    assert float(np.abs(found - expected).max()) < 0.2 * effect


@pytest.mark.parametrize("name", ["qwen2-tables", "gemma2", "qwen2moe"])
def test_int8_activations_are_close(name: str, tmp_path: Path) -> None:
    source, path = CASES[name].write(tmp_path / "tiny.gguf"), tmp_path / "tiny.shark"
    assert build(source, "-o", path, "--batch-sizes", "1", "--context", "64") == 0
    expected = _recipe_logits(source, TOKENS)
    with Engine.open(path) as engine:
        found = engine.all_logits(TOKENS)
    error, scale = np.abs(found - expected).max(), np.abs(expected - expected.mean()).max()
    assert float(error) < 0.05 * float(scale)
