"""The golden files agree with themselves, and what rounding them to 16 bits costs is known."""

import numpy as np
import pytest

from tests.goldens import decode_rows, divergence, encode_rows, prompts_of, tokenized_strings_of
from tests.real_models import MODELS


@pytest.mark.parametrize("model", MODELS)
def test_first_logits_choose_the_first_token(model: str) -> None:
    for prompt in prompts_of(model):
        second, best = np.sort(prompt.exact)[-2:]
        assert prompt.exact.argmax() == prompt.generated_ids[0]
        assert best - second == pytest.approx(prompt.margins[0], abs=1e-3)
        assert 1e-5 < prompt.llamacpp_divergence < 0.02
        assert len(prompt.generated_ids) == len(prompt.margins) == 32


@pytest.mark.parametrize("model", MODELS)
def test_tokenized_strings(model: str) -> None:
    strings = tokenized_strings_of(model)
    assert len({each.text for each in strings}) == 30
    assert all(bool(each.ids) is bool(each.text) for each in strings)


def test_rounding_moves_no_divergence_that_is_shown() -> None:
    random = np.random.default_rng(0)
    rows = [random.normal(0, 5, 50_000) for _ in range(2)]
    other = rows[0] + random.normal(0, 0.05, 50_000)
    decoded = decode_rows(*encode_rows(rows))
    for row, found in zip(rows, decoded, strict=True):
        assert np.abs(row - found).max() < 4e-4
    assert divergence(decoded[0], other) == pytest.approx(divergence(rows[0], other), abs=5e-6)
