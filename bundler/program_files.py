"""The files that an export of a program writes beside its MLIR, so that a build takes it again."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sharkpack.bundler.pipeline.plan import BuildPlan
from sharkpack.bundler.sources.program_description import description_path


def write_descriptions(plan: BuildPlan, programs: Iterable[Path], parameters: str) -> None:
    """The description of each of the `programs`, which lie in one folder with the file `parameters` and the tokenizer;
    and what tokenizer.json does not say, as checkpoints have it."""
    for program in programs:
        _write(description_path(program), _description(plan, parameters))
        if plan.source.program is not None and plan.source.program.tokenizer is not None:
            _write_specials(plan, program.parent)


def _description(plan: BuildPlan, parameters: str) -> dict[str, Any]:
    """The object that `read_description` reads."""
    program, layout = plan.source.program, plan.model.cache_layout
    assert program is not None
    written = {
        "name": program.name,
        "license": program.license,
        "parameters": parameters,
        "tokenizer": None if program.tokenizer is None else ".",
        "vocab_size": plan.model.vocab_size,
        "context_length": plan.options.context_length,
        "page_size": layout.page_size,
        "page_elements": layout.page_elements,
        "cache_dtype": layout.dtype,
    }
    return {key: value for key, value in written.items() if value is not None}


def _write_specials(plan: BuildPlan, folder: Path) -> None:
    tokenizer = plan.tokenizer
    named = {name: text for name, text in tokenizer.special_tokens.items() if text}
    config = {**named, "add_bos_token": tokenizer.add_bos, "add_eos_token": tokenizer.add_eos}
    _write(folder / "tokenizer_config.json", config)
    _write(folder / "generation_config.json", {"eos_token_id": list(tokenizer.end_token_ids)})


def _write(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
