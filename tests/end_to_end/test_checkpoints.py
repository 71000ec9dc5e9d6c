"""A checkpoint's folder through build and run, against transformers on the same folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sharkpack.bundler.sources import open_source
from sharkpack.cli.main import main
from sharkpack.runtime_shim import Engine
from tests.checkpoints import write_checkpoint_of
from tests.end_to_end.command_line import build
from tests.end_to_end.conftest import EXACT
from tests.templates import running
from tests.templates.running import Running, load, options
from tests.templates.weights import error
from tests.tiny_architectures import TINY, write_architecture
from tests.tiny_checkpoints import reference_logits
from tests.tiny_models import write_tiny_gguf

TOKENS = [7 * i % 290 + 1 for i in range(45)]
PROMPT = "Hello world, the answer"


def test_a_folder_builds_into_a_bundle_that_runs(tmp_path: Path) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", "llama", "F32", tied=False)
    folder = write_checkpoint_of(gguf, tmp_path / "tiny-0.1B", shards=3)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n", "utf-8")
    assert build(folder, *EXACT, "--context", "64") == 0
    expected = reference_logits(folder, torch.tensor([TOKENS]))[0].numpy()
    with Engine.open(tmp_path / "tiny-0.1B.shark") as engine:
        found = engine.all_logits(TOKENS)
        text = engine.generate(PROMPT, max_tokens=4).result()
        manifest = engine.bundle.manifest
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert text.token_ids
    assert (manifest.model.quantization, manifest.model.license) == ("BF16", "mit")
    assert (manifest.source.kind, manifest.source.file) == ("safetensors", "tiny-0.1B")
    ends = json.loads((folder / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    assert list(manifest.tokenizer.end_token_ids) == ends
    assert manifest.tokenizer.chat_template is not None


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose tokenizer fits those that have none."""
    folder = tmp_path_factory.mktemp("donor")
    return write_checkpoint_of(write_tiny_gguf(folder / "tiny.gguf", quantization="F32"), folder / "tiny")


def _with_tokenizer(folder: Path, donor: Path) -> Path:
    for file in donor.glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", ["stablelm", "qwen3moe"])
def test_a_compiled_program_computes_what_transformers_does(tmp_path: Path, donor: Path, architecture: str) -> None:
    """Prefill and decode, where kernels are used in ways of their own: filled rotation, experts."""
    folder = _with_tokenizer(write_architecture(tmp_path / "tiny", architecture), donor)
    assert build(folder, *EXACT, "--context", "64") == 0
    with Engine.open(tmp_path / "tiny.shark") as engine:
        found = engine.all_logits(TOKENS)
        decoded = engine.generate(TOKENS, max_tokens=4).result().token_ids
    whole = reference_logits(folder, torch.tensor([[*TOKENS, *decoded]]))[0].numpy()
    assert np.abs(found - whole[: len(TOKENS)]).max() < 1e-4 * np.abs(whole).max()
    assert list(decoded) == whole[len(TOKENS) - 1 : -1].argmax(-1).tolist()


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", TINY)
def test_a_file_converted_from_a_checkpoint_is_the_same_model(tmp_path: Path, donor: Path, architecture: str) -> None:
    """Names, keys and the order of rows in GGUF: what a recipe reads there computes what transformers does."""
    folder = _with_tokenizer(write_architecture(tmp_path / "tiny", architecture), donor)
    assert main(["convert", str(folder), "-o", str(tmp_path / "tiny.gguf")]) == 0
    with open_source(str(tmp_path / "tiny.gguf")) as source:
        found = Running(load(source, options("f32"))).in_chunks(running.TOKENS[0], [20, 16])
    wanted = reference_logits(folder, running.TOKENS[:1])[0]
    # A GGUF file asks for ggml's GELU, which goes through float16.
    tolerance = 2e-3 if architecture.startswith("gemma") else 1e-5
    assert max(error(logits, wanted[length - 1]) for length, logits in found.items()) < tolerance
