"""A checkpoint's special tokens, over five files: which begin and end a text, and what templates call
them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.json_file import read_values
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
"""Those that every tokenizer of transformers may have, and a template may write."""

_CLASS_DEFAULTS = {
    "Gemma": {
        "unk_token": "<unk>",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "mask_token": "<mask>",
    },
    "Qwen2": dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
    "GPT2": dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>"),
    "GPTNeoX": {
        **dict.fromkeys(("unk_token", "bos_token", "eos_token"), "<|endoftext|>"),
        "pad_token": "<|padding|>",
    },
    "Cohere": {
        "unk_token": "<UNK>",
        "bos_token": "<BOS_TOKEN>",
        "eos_token": "<|END_OF_TURN_TOKEN|>",
        "pad_token": "<PAD>",
        "cls_token": "<CLS>",
        "sep_token": "<SEP>",
        "mask_token": "<MASK_TOKEN>",
    },
}
"""Names of tokens, by the class of transformers less "Tokenizer": those that its tokenizer_config.json does not
name."""
_CLASS_OF_MODEL = {"gemma": "Gemma", "qwen2": "Qwen2", "qwen3": "Qwen2"}
"""The class of a model whose tokenizer_config.json names none, by how its `model_type` begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Specials:
    """bos, eos: the text of the token, else its id, else None. ends: ids that end what is generated, eos apart.

    add_bos, add_eos: None where nothing is said. names: texts of tokens by the names that a chat template may write.
    """

    bos: str | int | None
    eos: str | int | None
    ends: tuple[int, ...]
    add_bos: bool | None
    add_eos: bool | None
    names: Mapping[str, str] = field(repr=False)


def read_specials(folder: Path, config: Mapping[str, Any]) -> Specials:
    """From tokenizer_config.json, special_tokens_map.json, generation_config.json and `config` (config.json).

    All but the last may be absent; SharkpackError for what has another type than it should.
    """
    tokenizer = read_values(folder / "tokenizer_config.json", optional=True)
    mapped = read_values(folder / "special_tokens_map.json", optional=True)
    generation = read_values(folder / "generation_config.json", optional=True)
    model = Metadata(path=folder / "config.json", values=config)
    ends = (*_ids(generation, "eos_token_id"), *_ids(model, "eos_token_id"))
    begins = (*_ids(model, "bos_token_id"), *_ids(generation, "bos_token_id"))
    return Specials(
        bos=_named("bos_token", tokenizer, mapped, begins),
        eos=_named("eos_token", tokenizer, mapped, ends),
        ends=ends,
        add_bos=_flag(tokenizer, "add_bos_token"),
        add_eos=_flag(tokenizer, "add_eos_token"),
        names=_names(tokenizer, mapped, model),
    )


def _named(key: str, tokenizer: Metadata, mapped: Metadata, ids: tuple[int, ...]) -> str | int | None:
    """The first file that has the key decides, also when it says that there is no such token."""
    for source in _by_authority(tokenizer, mapped):
        if key in source.values:
            return _text(source, key)
    return ids[0] if ids else None


def _by_authority(tokenizer: Metadata, mapped: Metadata) -> tuple[Metadata, ...]:
    """special_tokens_map.json comes first where tokenizer_config.json is of an age in which it lists no tokens."""
    return (tokenizer, mapped) if "added_tokens_decoder" in tokenizer.values else (mapped, tokenizer)


def _names(tokenizer: Metadata, mapped: Metadata, model: Metadata) -> dict[str, str]:
    """Returns them as transformers gives them to a template: the usual names, any other that ends in "_token", and
    those that are listed by name."""
    found: dict[str, str | None] = {}
    if tokenizer.values:
        found |= _CLASS_DEFAULTS.get(_class(tokenizer, model), {})
    for source in reversed(_by_authority(tokenizer, mapped)):
        found |= dict(_named_in(source))
    return {name: text for name, text in found.items() if text is not None}


def _class(tokenizer: Metadata, model: Metadata) -> str:
    named, kind = tokenizer.values.get("tokenizer_class"), str(model.values.get("model_type"))
    if isinstance(named, str):
        return named.removesuffix("Fast").removesuffix("Tokenizer")
    return next((stem for start, stem in _CLASS_OF_MODEL.items() if kind.startswith(start)), "")


def _named_in(source: Metadata) -> Iterator[tuple[str, str | None]]:
    for key, value in source.values.items():
        if key in NAMES or (key.endswith("_token") and (isinstance(value, str) or _is_token(value))):
            yield key, _text(source, key)
        elif key in ("extra_special_tokens", "model_specific_special_tokens") and isinstance(value, Mapping):
            listed = Metadata(path=source.path, values=value)
            yield from ((name, _text(listed, name)) for name in value)


def _is_token(value: object) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("content"), str)


def _text(source: Metadata, key: str) -> str | None:
    """A token is written as its text, or as an object with it."""
    value = source.values[key]
    text = value.get("content") if isinstance(value, Mapping) else value
    if text is not None and not isinstance(text, str):
        raise SharkpackError(f"{source.path}: '{key}' is {value!r}; expected the text of a token")
    return text or None


def _ids(source: Metadata, key: str) -> tuple[int, ...]:
    """One id, a list of them, or none."""
    value = source.values.get(key)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if any(type(each) is not int for each in ids):
        raise SharkpackError(f"{source.path}: '{key}' is {value!r}; expected a token's id or a list of them")
    return tuple(ids)


def _flag(source: Metadata, key: str) -> bool | None:
    return None if source.values.get(key) is None else source.boolean(key)
