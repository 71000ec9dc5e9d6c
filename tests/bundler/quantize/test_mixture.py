"""The type that each tensor gets, against what llama-quantize gave the same models."""

import json
from pathlib import Path

import pytest

from sharkpack.bundler.quantize import SCHEMES
from sharkpack.bundler.quantize.mixture import choose_types, describe_types
from sharkpack.bundler.sources import open_source
from tests.bundler.quantize.models import MODELS, RECORD, write_model
from tests.bundler.quantize.models import SCHEMES as RECORDED

LLAMA_QUANTIZE = json.loads(RECORD.read_text())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: write_model(folder, name) for name in MODELS}


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("scheme", RECORDED)
def test_types_are_those_of_llama_quantize(models: dict[str, Path], model: str, scheme: str) -> None:
    expected = {name: kind for kind, names in LLAMA_QUANTIZE[model][scheme].items() for name in names}
    with open_source(str(models[model])) as source:
        types = choose_types(source, SCHEMES[scheme.lower()], pure=False, weighed=False)
        for name, tensor in source.tensors.items():
            short = name.removesuffix(".weight")
            assert types[name] == ("F32" if len(tensor.shape) == 1 else expected.get(short, expected["*"])), name


def test_every_scheme_has_a_name_that_llama_cpp_knows() -> None:
    assert {scheme.name for scheme in SCHEMES.values()} == set(RECORDED)
    assert SCHEMES["q4_k"] is SCHEMES["q4_k_m"]


def test_a_pure_model_has_one_type(models: dict[str, Path]) -> None:
    with open_source(str(models["wide"])) as source:
        types = choose_types(source, SCHEMES["q4_k"], pure=True, weighed=False)
        assert {types[name] for name, tensor in source.tensors.items() if len(tensor.shape) == 2} == {"Q4_K"}
        assert describe_types(types, source, SCHEMES["q4_k"]) == "Q4_K"
        mixed = choose_types(source, SCHEMES["q4_k"], pure=False, weighed=False)
        assert describe_types(mixed, source, SCHEMES["q4_k"]) == "Q4_K_M mixture"


def test_with_an_importance_the_first_layers_of_q4_0_get_minimums(models: dict[str, Path]) -> None:
    with open_source(str(models["wide"])) as source:
        types = choose_types(source, SCHEMES["q4_0"], pure=False, weighed=True)
    assert [layer for layer in range(17) if types[f"blk.{layer}.ffn_down.weight"] == "Q4_1"] == [0, 1]
