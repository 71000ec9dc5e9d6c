"""The real models say what the reference says: float32 to the token, int8 no further from it than llama.cpp."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.archive.generate_signature import generate_signature
from sharkpack.runtime_shim import Engine
from tests.end_to_end.greedy import greedy
from tests.goldens import divergence, prompts_of

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m")
CLOSE_CALL = 0.05  # below this margin between the two best tokens, rounding may choose
CLEAR_CALL = 0.5  # above it, not even int8 activations may choose otherwise
LENGTH = 32


@pytest.mark.parametrize("name", MODELS)
def test_float32_gives_the_tokens_and_logits_of_the_reference(
    name: str, real_bundle: Callable[..., Path], measured: Callable[[str], None]
) -> None:
    with Engine.open(real_bundle(name, exact=True)) as engine:
        assert engine.bundle.manifest.targets[0].activations == "float32"
        for prompt in prompts_of(name):
            logits = engine.logits(prompt.prompt_ids).astype(np.float64)
            error = float(np.abs((logits - logits.mean()) - (prompt.exact - prompt.exact.mean())).max())
            same = prompt.agreed_length(CLOSE_CALL)
            tokens = greedy(engine, prompt.prompt_ids, LENGTH)
            agreed = next((i for i in range(LENGTH) if tokens[i] != prompt.generated_ids[i]), LENGTH)
            measured(
                f"{name}, float32, {prompt.name}: first logits within {error:.1e}; {agreed} of {LENGTH} tokens agree, "
                f"{same} have to"
            )
            assert error < 1e-2
            assert tokens[:same] == prompt.generated_ids[:same]


@pytest.mark.parametrize("name", MODELS)
def test_int8_is_no_further_from_the_reference_than_llama_cpp(
    name: str, real_bundle: Callable[..., Path], measured: Callable[[str], None]
) -> None:
    ours, peers = [], []
    with Engine.open(real_bundle(name)) as engine:
        manifest = engine.bundle.manifest
        cache = generate_signature(manifest.signature).cache
        assert (manifest.targets[0].activations, cache.dtype) == ("int8", "f16")
        for prompt in prompts_of(name):
            ours.append(divergence(prompt.exact, engine.logits(prompt.prompt_ids).astype(np.float64)))
            peers.append(prompt.llamacpp_divergence)
            same = min(8, prompt.agreed_length(CLEAR_CALL))
            tokens = greedy(engine, prompt.prompt_ids, 8)
            assert tokens[:same] == prompt.generated_ids[:same], prompt.name
    each = ", ".join(f"{value:.5f}" for value in ours)
    measured(f"{name}, int8: mean KL {np.mean(ours):.5f} ({each}); llama.cpp's {np.mean(peers):.5f}")
    assert np.mean(ours) <= np.mean(peers)
