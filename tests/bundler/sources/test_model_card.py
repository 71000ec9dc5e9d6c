"""Checks the model card and the generation defaults that a manifest gets from its source."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharkpack.bundler.sources.gguf_card import gguf_card, gguf_generation
from sharkpack.bundler.sources.huggingface.front_matter import (
    checkpoint_card,
    declared_license,
    read_front_matter,
)
from sharkpack.bundler.sources.huggingface.generation_config import generation_defaults, read_generation_config
from sharkpack.formats.archive.manifest import BaseModel, GenerationDefaults, ModelCard

README = """---
license: other
license_name: "gemma terms"
license_link: https://example.com/terms  # as of today
language:
- en
- 'de'
tags: [chat, "text-generation"]
base_model:
  - Qwen/Qwen2.5-0.5B
library_name: transformers
model-index:
- name: Qwen
  results:
  - task:
      type: text
    metrics:
    - value: 1
---
# license: not this one
"""


def front_matter(folder: Path, text: str) -> dict[str, list[str]]:
    (folder / "README.md").write_text(text)
    return read_front_matter(folder)


def test_the_front_matter_of_a_checkpoint(tmp_path: Path) -> None:
    matter = front_matter(tmp_path, README)
    assert declared_license(matter) == "gemma terms"
    assert checkpoint_card(matter) == ModelCard(
        license_name="gemma terms",
        license_link="https://example.com/terms",
        languages=("en", "de"),
        tags=("chat", "text-generation"),
        base_models=(BaseModel(name="Qwen2.5-0.5B", organization="Qwen"),),
    )


@pytest.mark.parametrize(
    ("text", "license_"),
    [
        ("", None),
        ("# no front matter\n---\nlicense: mit\n---\n", None),
        ("---\nlicense: mit\n---\n", "mit"),
        ("---\nlicense: mit", "mit"),
        ("---\nlicense:\n- mit\n- apache-2.0\n---\n", "mit"),
        ("---\nlicense: mit\nlicense: gpl\n---\n", "mit"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlicense: |\n  long text\n---\n", None),
        ("---\nnested:\n  license: mit\n---\n", None),
        ("---\n: : :\n\x00\n- \n---\n", None),
    ],
)
def test_the_license_that_is_declared(text: str, license_: str | None, tmp_path: Path) -> None:
    assert declared_license(front_matter(tmp_path, text)) == license_


def test_a_folder_without_readme_says_nothing(tmp_path: Path) -> None:
    assert checkpoint_card(read_front_matter(tmp_path)) == ModelCard()
    assert read_generation_config(tmp_path) == GenerationDefaults()


def test_the_keys_of_gguf() -> None:
    metadata = {
        "general.author": " Someone ",
        "general.organization": "Example",
        "general.description": "x" * 5000,
        "general.repo_url": "https://example.com/model",
        "general.license.name": "terms",
        "general.license.link": "https://example.com/terms",
        "general.base_model.count": 2,
        "general.base_model.0.name": "Base",
        "general.base_model.0.organization": "Example",
        "general.base_model.0.repo_url": "https://example.com/base",
        "general.languages": ["en"],
        "general.tags": ["chat"],
    }
    assert gguf_card(metadata) == ModelCard(
        author="Someone",
        organization="Example",
        description="x" * 4096,
        url="https://example.com/model",
        license_name="terms",
        license_link="https://example.com/terms",
        base_models=(BaseModel(name="Base", organization="Example", url="https://example.com/base"),),
        languages=("en",),
        tags=("chat",),
    )


def test_the_sampling_keys_of_gguf() -> None:
    """f32 numbers become the decimals that were meant."""
    values: dict[str, Any] = {
        "temp": float(np.float32(0.7)),
        "top_k": 20,
        "top_p": float(np.float32(0.95)),
        "min_p": 0.05,
        "xtc_probability": 0.5,
        "xtc_threshold": 0.1,
        "penalty_repeat": 1.05,
        "penalty_present": -1.5,
        "penalty_freq": 0.0,
        "penalty_last_n": -1,
        "mirostat": 2,
        "mirostat_tau": 5.0,
        "mirostat_eta": 0.1,
        "sequence": "top_k;top_p",
    }
    assert gguf_generation({f"general.sampling.{key}": value for key, value in values.items()}) == GenerationDefaults(
        temperature=0.7,
        top_k=20,
        top_p=0.95,
        min_p=0.05,
        xtc_probability=0.5,
        xtc_threshold=0.1,
        repetition_penalty=1.05,
        presence_penalty=-1.5,
        frequency_penalty=0.0,
        mirostat=2,
        mirostat_tau=5.0,
        mirostat_eta=0.1,
        samplers="top_k;top_p",
    )


def test_a_generation_config(tmp_path: Path) -> None:
    config: dict[str, Any] = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95}
    config |= {"repetition_penalty": 1.1, "stop_strings": ["\n\nUser:", ""], "eos_token_id": 2}
    (tmp_path / "generation_config.json").write_text(json.dumps(config))
    assert read_generation_config(tmp_path) == GenerationDefaults(
        temperature=0.6, top_k=20, top_p=0.95, repetition_penalty=1.1, stop=("\n\nUser:",)
    )


def test_a_config_that_does_not_sample_is_greedy() -> None:
    assert generation_defaults({"do_sample": False, "temperature": 0.7}).temperature == 0
    assert generation_defaults({"temperature": 0.7}).temperature == 0.7


@pytest.mark.parametrize(
    "value",
    [None, "1", True, [1], {}, float("nan"), float("inf"), -1.0, 10**400, "\ud800"],
    ids=repr,
)
def test_what_is_not_a_number_counts_as_absent(value: Any) -> None:
    keys = ("temp", "top_p", "min_p", "penalty_repeat", "mirostat", "mirostat_tau", "xtc_threshold", "penalty_last_n")
    assert gguf_generation({f"general.sampling.{key}": value for key in keys}) == GenerationDefaults()
    names = ("temperature", "top_p", "min_p", "typical_p", "repetition_penalty")
    assert generation_defaults(dict.fromkeys(names, value)) == GenerationDefaults()


@pytest.mark.parametrize("value", [None, 1, True, [], [1], {}, "", " ", "\ud800"], ids=repr)
def test_what_is_not_a_text_counts_as_absent(value: Any) -> None:
    keys = ("author", "organization", "description", "url", "license.name", "languages", "tags", "base_model.0.name")
    metadata = {f"general.{key}": value for key in keys}
    assert gguf_card(metadata | {"general.base_model.count": 1}) == ModelCard()


@pytest.mark.parametrize("count", [-1, 10**9, "1", None, True])
def test_a_count_of_base_models_that_lies(count: Any) -> None:
    card = gguf_card({"general.base_model.count": count, "general.base_model.0.name": "Base"})
    assert card.base_models in ((), (BaseModel(name="Base"),))
