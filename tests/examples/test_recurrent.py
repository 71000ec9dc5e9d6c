"""The example that is no transformer: built, run and compared with the same module in torch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sharkpack.bundler.sources import SourceModel, open_source
from sharkpack.bundler.sources.program import CustomModel
from sharkpack.runtime_shim import Engine
from tests.end_to_end.command_line import ROOT, build

SOURCE = f"{ROOT / 'examples' / 'recurrent.py'}:model"
TEXT = "A member whose name ends in .zst is one Zstandard frame, stored like any other member."


@pytest.fixture(scope="module")
def source() -> SourceModel:
    return open_source(SOURCE)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("examples") / "recurrent.shark"
    assert build(Path(SOURCE), "-o", path, "--batch-sizes", "2", "--no-cache") == 0
    with Engine.open(path, prefill_chunk=50) as engine:
        yield engine


def test_logits_are_those_of_the_module(engine: Engine, source: SourceModel) -> None:
    tokens = torch.tensor([list(TEXT.encode())])
    assert isinstance(source.program, CustomModel)
    model, size = source.program.model, source.program.page_elements
    ends = torch.tensor([tokens.shape[1]])
    with torch.no_grad():
        hidden, _ = model.hidden(tokens, torch.tensor([0]), ends, torch.tensor([[1, 2, 3]]), torch.zeros(4, size))
        expected = model.head(hidden).numpy()
    found = engine.all_logits(list(TEXT.encode()))  # in chunks, so the state goes through the cache
    assert float(np.abs(expected).max()) > 1
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_decoding_goes_on_as_prefill_would(engine: Engine) -> None:
    prompts = [TEXT, "The file is"]
    outcomes = engine.batch(prompts, max_tokens=25, raw=True)
    for prompt, outcome in zip(prompts, outcomes, strict=True):
        tokens = list(prompt.encode())
        for token in outcome.token_ids:
            assert token == int(engine.logits(tokens).argmax())
            tokens.append(token)


def test_it_has_learnt_to_spell(engine: Engine) -> None:
    text = engine.generate("The ", max_tokens=40, raw=True).result().text
    assert "the" in text


def test_a_token_is_a_byte(engine: Engine) -> None:
    assert engine.encode("añ €", raw=True) == tuple("añ €".encode())
