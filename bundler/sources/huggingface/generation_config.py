"""Reads the generation defaults of a checkpoint, generation_config.json. What has another type counts as absent."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.advice import number, texts, whole
from sharkpack.bundler.sources.json_file import read_values
from sharkpack.formats.archive.manifest import GenerationDefaults

GENERATION_CONFIG = "generation_config.json"


def read_generation_config(folder: Path) -> GenerationDefaults:
    """The defaults that the folder's file has. Raises SharkpackError where it is there and is not JSON."""
    return generation_defaults(read_values(folder / GENERATION_CONFIG, optional=True).values)


def generation_defaults(values: Mapping[str, Any]) -> GenerationDefaults:
    """From transformers' names. `do_sample: false` is greedy, whatever temperature stands beside it."""
    greedy = values.get("do_sample") is False
    return GenerationDefaults(
        temperature=0 if greedy else number(values.get("temperature"), least=0),
        top_k=whole(values.get("top_k"), negative=0),
        top_p=number(values.get("top_p"), least=0),
        min_p=number(values.get("min_p"), least=0),
        typical_p=number(values.get("typical_p"), least=0),
        repetition_penalty=number(values.get("repetition_penalty"), least=0),
        presence_penalty=number(values.get("presence_penalty")),
        frequency_penalty=number(values.get("frequency_penalty")),
        stop=texts(values.get("stop_strings"), strip=False),
    )
