"""Checkpoints in bfloat16, quantised while they are built: how far that takes them from the float32 reference."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharkpack.runtime_shim import Engine
from tests.checkpoints import write_checkpoint_of
from tests.end_to_end.command_line import build
from tests.end_to_end.conftest import EXACT
from tests.goldens import divergence, prompts_of

MOST = 1e-3
"""KL in nats over the first token after each golden prompt."""


@pytest.mark.parametrize("name", ["smollm2-135m", pytest.param("qwen2.5-coder-0.5b", marks=pytest.mark.slow)])
def test_a_bfloat16_checkpoint_in_q8_0_stays_with_the_reference(
    name: str,
    model_path: Callable[[str], Path],
    measured: Callable[[str], None],
    tmp_path: Path,
) -> None:
    checkpoint, path = tmp_path / "checkpoint", tmp_path / "model.shark"
    write_checkpoint_of(model_path(name), checkpoint, "bfloat16")
    assert build(checkpoint, "-o", path, "--quantize", "q8_0", *EXACT) == 0
    prompts = prompts_of(name)
    with Engine.open(path) as engine:
        assert engine.bundle.manifest.model.quantization == "Q8_0"
        assert engine.bundle.manifest.source.kind == "safetensors"
        errors = [divergence(each.exact, engine.logits(each.prompt_ids).astype(np.float64)) for each in prompts]
    for file in (path, checkpoint / "model.safetensors"):
        file.unlink()  # a gigabyte or so, which pytest would keep for three runs
    each = ", ".join(f"{prompt.name} {error:.5f}" for prompt, error in zip(prompts, errors, strict=True))
    measured(f"{name}, bfloat16 checkpoint in q8_0: KL {each}")
    assert max(errors) <= MOST
