"""Perplexity: every token once, with the context it is due, and the numbers that the logits themselves give."""

import math
from pathlib import Path

import numpy as np
import pytest

from sharkpack.formats.archive.manifest import single_text
from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Engine
from sharkpack.runtime_shim.tools.perplexity import Evaluation, cut_windows, evaluate, plan_evaluation

TEXT = "Colourless green ideas sleep furiously, été comme hiver. " * 5


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("tokens", [2, 7, 8, 9, 40])
@pytest.mark.parametrize("stride", [1, 3, 7])
def test_windows_score_every_token_once(tokens: int, stride: int, first: int) -> None:
    windows = list(cut_windows(tokens, 8, stride, first))
    assert [at for w in windows for at in range(w.scored, w.end)] == list(range(first, tokens))
    assert all(w.end - w.begin == min(8, tokens) for w in windows)
    assert all(w.scored - w.begin >= 8 - stride for w in windows[1:])


def test_one_window_is_the_whole_text(toy_bundle: Path) -> None:
    with Engine.open(toy_bundle) as engine:
        text = TEXT[:40]
        ids = list(engine.encode(text, raw=True))
        (result,) = evaluate(engine, plan_evaluation(engine, text, context=None, stride=None))
        expected = -_log_probabilities(engine, ids, 1).sum()
    assert (result.tokens, result.text_tokens, result.windows) == (len(ids) - 1, len(ids), 1)
    assert result.text_bytes == len(text.encode()) - 1  # a token is a byte here, and the first is not scored
    assert result.negative_log_likelihood == pytest.approx(expected)
    assert result.perplexity == pytest.approx(math.exp(expected / result.tokens))
    assert result.bits_per_byte == pytest.approx(expected / math.log(2) / result.text_bytes)


@pytest.mark.parametrize("bos", [False, True])
def test_windows_overlap(toy_bundle: Path, bos: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine.open(toy_bundle) as engine:
        tokenizer = engine.bundle.manifest.tokenizer
        object.__setattr__(tokenizer, "single", single_text((tokenizer.bos_token_id or 0,) if bos else ()))
        prefix = [tokenizer.bos_token_id or 0] if bos else []
        ids = engine.bundle.tokenizer.encode(TEXT, add_special_tokens=False).ids
        *_, result = evaluate(engine, plan_evaluation(engine, TEXT, context=32, stride=10))
        room, total, at = 32 - len(prefix), 0.0, 1 - len(prefix)
        end = room
        while at < len(ids):
            window = [*prefix, *ids[max(0, end - room) : end]]
            total -= _log_probabilities(engine, window, len(window) - (end - at)).sum()
            at, end = end, min(end + 10, len(ids))
    assert result.tokens == len(ids) - 1 + len(prefix)
    assert result.negative_log_likelihood == pytest.approx(total)
    assert result.text_bytes == len(TEXT.encode()) - 1 + len(prefix)


def _log_probabilities(engine: Engine, ids: list[int], first: int) -> np.ndarray:
    """Log-probabilities from `first` on, by the softmax of all logits in float64."""
    logits = engine.all_logits(ids)[:-1].astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    found: np.ndarray = logits[np.arange(len(ids) - 1), ids[1:]][first - 1 :]
    return found


@pytest.mark.parametrize(
    ("text", "context", "stride", "message"),
    [
        ("abc", 1, None, "context is 1: expected 2 to 96, as the bundle was built"),
        ("abc", 97, None, "context is 97: expected 2 to 96"),
        ("abc", 8, 8, "stride is 8: expected 1 to 7, fewer than the 8 of the context"),
        ("", None, None, "the text has 0 tokens: too few to score one"),
        ("a", None, None, "the text has 1 tokens: too few to score one"),
    ],
)
def test_refusals(toy_bundle: Path, text: str, context: int | None, stride: int | None, message: str) -> None:
    with Engine.open(toy_bundle) as engine, pytest.raises(SharkpackError, match=message):
        plan_evaluation(engine, text, context=context, stride=stride)


def test_hopeless_predictions_are_infinite() -> None:
    result = Evaluation(
        tokens=1, text_tokens=2, text_bytes=1, windows=1, context=8, stride=4, negative_log_likelihood=1e4
    )
    assert result.perplexity == math.inf
