"""The reference outputs in ../shared/golden, and how to compare with them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sharkpack.runtime_shim import Engine

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One golden prompt: what the reference generates, its margin at each step, and both engines' first logits."""

    name: str
    prompt_ids: list[int]
    generated_ids: list[int]
    margins: list[float]
    exact: Floats
    llamacpp: Floats

    def agreed_length(self, margin: float) -> int:
        """Tokens before the first whose margin is below `margin`."""
        return next((step for step, found in enumerate(self.margins) if found < margin), len(self.margins))


def prompts_of(name: str, golden: Callable[[str], Path]) -> list[Prompt]:
    """The golden prompts of a model."""
    cases: list[dict[str, Any]] = json.loads(golden(f"{name}.exact.json").read_text("utf-8"))["prompts"]
    with np.load(golden(f"{name}.exact.logits.npz")) as exact, np.load(golden(f"{name}.llamacpp.logits.npz")) as peer:
        return [
            Prompt(
                name=case["name"],
                prompt_ids=case["prompt_ids"],
                generated_ids=case["generated_ids"],
                margins=case["top1_minus_top2"],
                exact=exact[case["name"]].reshape(-1).astype(np.float64),
                llamacpp=peer[case["name"]].reshape(-1).astype(np.float64),
            )
            for case in cases
        ]


def greedy(engine: Engine, prompt_ids: Sequence[int], count: int) -> list[int]:
    """The likeliest tokens; where the model would end, what comes after the end token, as in the goldens."""
    tokens: list[int] = []
    while len(tokens) < count:
        result = engine.generate([*prompt_ids, *tokens], max_tokens=count - len(tokens)).result
        tokens += result.token_ids
        if result.finish_reason == "stop":
            tokens.append(int(engine.logits([*prompt_ids, *tokens]).argmax()))
    return tokens


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max()
    result: Floats = shifted - np.log(np.exp(shifted).sum())
    return result


def divergence(exact: Floats, other: Floats) -> float:
    """KL(exact || other), in nats."""
    p, q = _log_softmax(exact), _log_softmax(other)
    return float((np.exp(p) * (p - q)).sum())
