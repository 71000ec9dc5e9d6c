"""The file of log-probabilities, and divergences."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.llama_cpp_logits import divergences, normalise, read_logits, round_trip
from benchmarks.processes import BenchmarkError


def write(path: Path, tokens: list[int], logits: np.ndarray) -> None:
    """Writes one chunk as llama-perplexity does, the odd vocabulary padded."""
    rows, vocabulary = logits.shape
    packed = np.zeros((rows, 2 * ((vocabulary + 1) // 2) + 4), np.uint16)
    lowest = np.maximum(logits.min(1), logits.max(1) - 16)
    scale = (logits.max(1) - lowest) / 65535
    constant = normalise(logits)[:, 0] - logits[:, 0]
    packed[:, :4] = np.stack([scale, lowest + constant], 1).astype(np.float32).view(np.uint16)
    packed[:, 4 : 4 + vocabulary] = np.rint((np.maximum(logits, lowest[:, None]) - lowest[:, None]) / scale[:, None])
    head = np.array([len(tokens), vocabulary, 1, *tokens], np.int32)
    path.write_bytes(b"_logits_" + head.tobytes() + packed.tobytes())


def test_reads_what_was_written(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(0, 6, (3, 11))
    write(tmp_path / "file", list(range(8)), logits)
    found = read_logits(tmp_path / "file")
    assert (found.tokens.tolist(), found.first) == (list(range(8)), 4)
    np.testing.assert_allclose(found.log_probabilities, round_trip(logits), atol=1e-5)


def test_refuses_another_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"something else")
    with pytest.raises(BenchmarkError, match="begins with b'somethin'"):
        read_logits(tmp_path / "file")


def test_rounding_loses_only_the_unlikely() -> None:
    logits = np.array([[0.0, -3.0, -40.0]])
    found = np.exp(round_trip(logits))
    assert found[0, 2] == pytest.approx(np.exp(-16), rel=0.1)
    np.testing.assert_allclose(found[0, :2], np.exp(normalise(logits))[0, :2], rtol=1e-4)


def test_divergence_of_itself_is_nothing() -> None:
    exact = normalise(np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
    assert divergences(exact, exact).tolist() == [0, 0]
    assert divergences(exact, normalise(exact + np.array([0, 0, 1.0]))).min() > 0
