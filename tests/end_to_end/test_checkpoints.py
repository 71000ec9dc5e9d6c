"""A checkpoint's folder through build and run, against transformers on the same folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sharkpack.runtime_shim import Engine
from tests.checkpoints import write_checkpoint_of
from tests.end_to_end.command_line import build
from tests.end_to_end.conftest import EXACT
from tests.tiny_architectures import write_architecture
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
        text = engine.generate(PROMPT, max_tokens=4).result
        manifest = engine.bundle.manifest
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert text.token_ids
    assert (manifest.model.quantization, manifest.model.license) == ("BF16", "mit")
    assert (manifest.source.kind, manifest.source.file) == ("safetensors", "tiny-0.1B")
    ends = json.loads((folder / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    assert list(manifest.tokenizer.end_token_ids) == ends
    assert manifest.tokenizer.chat_template is not None


@pytest.mark.supports("architecture")
@pytest.mark.parametrize("architecture", ["stablelm", "qwen3moe"])
def test_a_compiled_program_computes_what_transformers_does(tmp_path: Path, architecture: str) -> None:
    """Prefill and decode, where kernels are used in ways of their own: filled rotation, experts."""
    folder = write_architecture(tmp_path / "tiny", architecture)
    donor = write_checkpoint_of(write_tiny_gguf(tmp_path / "donor.gguf", quantization="F32"), tmp_path / "donor")
    for file in donor.glob("tokenizer*"):
        shutil.copy(file, folder)
    assert build(folder, *EXACT, "--context", "64") == 0
    with Engine.open(tmp_path / "tiny.shark") as engine:
        found = engine.all_logits(TOKENS)
        decoded = engine.generate(TOKENS, max_tokens=4).result.token_ids
    whole = reference_logits(folder, torch.tensor([[*TOKENS, *decoded]]))[0].numpy()
    assert np.abs(found - whole[: len(TOKENS)]).max() < 1e-4 * np.abs(whole).max()
    assert list(decoded) == whole[len(TOKENS) - 1 : -1].argmax(-1).tolist()
