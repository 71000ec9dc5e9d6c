"""The ABI is checked before anything is compiled, and what does not fit is named."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sharkpack.bundler.model_spec.program_check import check_program
from sharkpack.formats.errors import SharkpackError
from sharkpack.templates.layers.model_options import ModelOptions
from tests.bundler.sources.program.programs import DIM, PAGE_SIZE, Sums, program

OPTIONS = ModelOptions(context_length=64, page_size=PAGE_SIZE, cache_dtype="f32")


def _refusal(model: Sums) -> str:
    with torch.no_grad(), pytest.raises(SharkpackError) as caught:
        check_program(program(model), OPTIONS, 16)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sound_program_passes() -> None:
    with torch.no_grad():
        assert check_program(program(), OPTIONS, 16) == DIM


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("starts_anew", "depends on what the cache held before it"),
        ("carries", "a prefill in pieces of 5 and 6 tokens differs from one of 11"),
        ("own_page", "what follows a full page changes that page"),
        ("heeds_lengths", "tokens at or behind seq_lens change the state that is kept"),
    ],
)
def test_state_that_is_not_kept_as_it_should(flag: str, message: str) -> None:
    model = Sums()
    setattr(model, flag, False)
    assert message in _refusal(model)


class _Logits(Sums):
    def head(self, x: Tensor) -> Any:
        return super().head(x)[:, :-1]


class _Doubles(Sums):
    def head(self, x: Tensor) -> Any:
        return super().head(x).double()


class _OneResult(Sums):
    def hidden(self, *arguments: Tensor) -> Any:
        return super().hidden(*arguments)[0]


class _Batch(Sums):
    def hidden(self, tokens: Tensor, *rest: Tensor) -> Any:
        x, cache = super().hidden(tokens, *rest)
        return x.reshape(*tokens.shape, DIM), cache


class _NotFinite(Sums):
    def head(self, x: Tensor) -> Any:
        return super().head(x) * float("nan")


class _Raises(Sums):
    def hidden(self, *arguments: Tensor) -> Any:
        raise IndexError("out of\nreach")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (_Logits, "prefill: the logits of head is float32 [22, 255]; expected float32 [22, 256]"),
        (_Doubles, "prefill: the logits of head is float64 [22, 256]; expected float32 [22, 256]"),
        (_OneResult, "hidden returned a Tensor in prefill; expected two: the rows and the cache"),
        (_Batch, "prefill: the rows of hidden is float32 [2, 11, 4]; expected float32 [22, D]"),
        (_NotFinite, "prefill: some logits are no finite numbers (nan or inf)"),
        (_Raises, "hidden raised IndexError in prefill: out of\\nreach"),
    ],
)
def test_results_of_another_kind(model: type[Sums], message: str) -> None:
    assert message in _refusal(model())
