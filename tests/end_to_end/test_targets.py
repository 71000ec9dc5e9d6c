"""Several targets over one weight file: the best one that runs here is taken, the others when asked for."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharkpack.runtime_shim import Bundle, Engine
from tests.end_to_end.command_line import build, sharkpack
from tests.end_to_end.conftest import BASELINE, BEST
from tests.goldens import divergence, prompts_of
from tests.tiny_models import write_tiny_gguf

PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def bundle(real_bundle: Callable[..., Path]) -> Path:
    """SmolLM2 for the least target of this architecture and for the best that runs here."""
    if BEST == BASELINE:
        pytest.skip(f"NOT RUN: this CPU runs no better target than {BASELINE}")
    return real_bundle("smollm2-135m")


def _run(bundle: Path, *options: str) -> tuple[str, list[int]]:
    outcome = sharkpack("run", bundle, PROMPT, "--raw", "--max-tokens", "8", "--json", *options)
    assert outcome.status == 0, outcome.err
    report = json.loads(outcome.out)
    return report["target"], report["token_ids"]


def test_the_better_target_runs_and_the_baseline_when_told(bundle: Path) -> None:
    best, tokens = _run(bundle)
    assert best == BEST
    assert len(tokens) == 8
    assert _run(bundle, "--target", BASELINE) == (BASELINE, tokens)
    assert _run(bundle, "--target", BEST) == (BEST, tokens)
    assert _run(bundle, "--device", "local-sync") == (BEST, tokens)


def test_the_baseline_is_as_right_as_the_best(bundle: Path, measured: Callable[[str], None]) -> None:
    ours, peers = [], []
    with Engine.open(bundle, target=BASELINE) as engine:
        for prompt in prompts_of("smollm2-135m"):
            ours.append(divergence(prompt.exact, engine.logits(prompt.prompt_ids).astype(np.float64)))
            peers.append(prompt.llamacpp_divergence)
    measured(f"smollm2-135m, int8 on {BASELINE}: mean KL {np.mean(ours):.5f}; llama.cpp's {np.mean(peers):.5f}")
    assert np.mean(ours) <= np.mean(peers)


def test_one_weight_file_serves_both(bundle: Path) -> None:
    report = json.loads(sharkpack("inspect", bundle, "--json").out)
    text = json.dumps(report)
    assert all(f"targets/{target}/module.vmfb" in text for target in (BASELINE, BEST))
    with Bundle.open(bundle) as opened:
        assert [target.id for target in opened.manifest.targets] == [BASELINE, BEST]
        assert [each.path for each in opened.manifest.parameters] == ["params/model.irpa"]
        assert [path for path in opened.archive.members if path.startswith("params/")] == ["params/model.irpa"]


def test_the_other_targets_compile_and_run_where_they_can(tmp_path: Path) -> None:
    """A whole program for each, one of its matmuls with codes: test_matmul has the others."""
    targets = ("x86-64-v3", "x86-64-v3-vnni", "x86-64-v4", "aarch64", "aarch64-dotprod", "aarch64-i8mm")
    types = {"blk.0.ffn_down.weight": "Q4_0"}
    source = write_tiny_gguf(tmp_path / "tiny.gguf", quantization="F32", layers=1, types=types)
    path = tmp_path / "all.shark"
    options = [option for target in targets for option in ("--target", target)]
    assert build(source, "-o", path, "--batch-sizes", "1", *options) == 0
    ran: dict[str, list[int]] = {}
    with Bundle.open(path) as bundle:
        chosen = bundle.select()
        refused = {rejection.target_id: rejection.reason for rejection in chosen.rejected}
        assert {chosen.target.id, *refused} == set(targets)
        for target in bundle.manifest.targets:
            if target.id == chosen.target.id or "runs here" in refused[target.id]:
                with Engine.open(bundle, target=target.id) as engine:
                    ran[target.id] = list(engine.generate([40, 41, 42, 43], max_tokens=6).result().token_ids)
    assert len(ran) > 0
    assert len({tuple(tokens) for tokens in ran.values()}) == 1, ran
