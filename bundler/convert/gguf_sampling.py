"""A checkpoint's generation defaults, under the keys that llama.cpp takes its defaults from."""

from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.json_file import read_values

_KEYS = {
    "temperature": ("general.sampling.temp", float),
    "top_k": ("general.sampling.top_k", int),
    "top_p": ("general.sampling.top_p", float),
    "min_p": ("general.sampling.min_p", float),
    "repetition_penalty": ("general.sampling.penalty_repeat", float),
}
_ELSEWHERE = frozenset(
    {"bos_token_id", "eos_token_id", "pad_token_id", "do_sample", "max_length", "max_new_tokens", "use_cache"}
    | {"transformers_version", "cache_implementation", "trust_remote_code"}
)
"""Keys whose meaning other keys have, and those that are the caller's to choose."""


def sampling_keys(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Keys and values of `generation_config.json`, which may be absent, and a sentence on what GGUF has no key for."""
    path = folder / "generation_config.json"
    said = {
        key: value
        for key, value in read_values(path, optional=True).values.items()
        if value is not None and key not in _ELSEWHERE and not key.startswith("_")
    }
    found = {
        _KEYS[key][0]: _KEYS[key][1](value)
        for key, value in said.items()
        if key in _KEYS and type(value) in (int, float)
    }
    unsaid = sorted(key for key in said if key not in _KEYS)
    warning = f"GGUF has no key for what generation_config.json says of {', '.join(unsaid)}"
    return found, (warning,) if unsaid else ()
