"""Reads the model card and the generation defaults of a GGUF file. Nothing in them can fail a build."""

from collections.abc import Mapping
from typing import Any

from sharkpack.bundler.sources.advice import number, text, texts, whole
from sharkpack.formats.archive.manifest import BaseModel, GenerationDefaults, ModelCard

MOST_BASE_MODELS = 64


def gguf_card(metadata: Mapping[str, Any]) -> ModelCard:
    """The keys `general.*` that describe a model."""
    bases = whole(metadata.get("general.base_model.count")) or 0
    found = (_base_model(metadata, f"general.base_model.{index}") for index in range(min(bases, MOST_BASE_MODELS)))
    return ModelCard(
        author=text(metadata.get("general.author")),
        organization=text(metadata.get("general.organization")),
        description=text(metadata.get("general.description")),
        url=text(metadata.get("general.url"))
        or text(metadata.get("general.repo_url"))
        or text(metadata.get("general.source.url"))
        or text(metadata.get("general.source.repo_url")),
        license_name=text(metadata.get("general.license.name")),
        license_link=text(metadata.get("general.license.link")),
        base_models=tuple(each for each in found if each != BaseModel()),
        languages=texts(metadata.get("general.languages")),
        tags=texts(metadata.get("general.tags")),
    )


def gguf_generation(metadata: Mapping[str, Any]) -> GenerationDefaults:
    """The keys `general.sampling.*` of llama.cpp, and the two penalties that others write beside them."""
    values = {
        key.removeprefix("general.sampling."): value
        for key, value in metadata.items()
        if key.startswith("general.sampling.")
    }
    return GenerationDefaults(
        temperature=number(values.get("temp"), least=0),
        top_k=whole(values.get("top_k"), negative=0),
        top_p=number(values.get("top_p"), least=0),
        min_p=number(values.get("min_p"), least=0),
        typical_p=number(values.get("typ_p"), least=0),
        xtc_probability=number(values.get("xtc_probability"), least=0),
        xtc_threshold=number(values.get("xtc_threshold"), least=0),
        repetition_penalty=number(values.get("penalty_repeat"), least=0),
        presence_penalty=number(values.get("penalty_present")),
        frequency_penalty=number(values.get("penalty_freq")),
        penalty_window=whole(values.get("penalty_last_n")),
        mirostat=whole(values.get("mirostat")),
        mirostat_tau=number(values.get("mirostat_tau"), least=0),
        mirostat_eta=number(values.get("mirostat_eta"), least=0),
        samplers=text(values.get("sequence")),
    )


def _base_model(metadata: Mapping[str, Any], prefix: str) -> BaseModel:
    return BaseModel(
        name=text(metadata.get(f"{prefix}.name")),
        organization=text(metadata.get(f"{prefix}.organization")) or text(metadata.get(f"{prefix}.author")),
        url=text(metadata.get(f"{prefix}.repo_url")) or text(metadata.get(f"{prefix}.url")),
    )
