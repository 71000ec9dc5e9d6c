"""What a checkpoint says of its special tokens, over five files: which begin and end a text, and the chat template."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.json_file import read_bytes, read_values
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError

MAX_TEMPLATE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Specials:
    """bos, eos: the text of the token, else its id, else None. ends: ids that end what is generated, eos apart.

    add_bos, add_eos: None where nothing is said.
    """

    bos: str | int | None
    eos: str | int | None
    ends: tuple[int, ...]
    add_bos: bool | None
    add_eos: bool | None
    chat_template: str | None = field(repr=False)


def read_specials(folder: Path, config: Mapping[str, Any]) -> Specials:
    """From tokenizer_config.json, special_tokens_map.json, generation_config.json, chat_template.jinja and `config`
    (config.json). All but the last may be absent; SharkpackError for what has another type than it should."""
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
        chat_template=_chat_template(folder, tokenizer),
    )


def _named(key: str, tokenizer: Metadata, mapped: Metadata, ids: tuple[int, ...]) -> str | int | None:
    """The first file that has the key decides, also when it says that there is no such token."""
    for source in (tokenizer, mapped):
        if key in source.values:
            return _text(source, key)
    return ids[0] if ids else None


def _text(source: Metadata, key: str) -> str | None:
    """A token is written as its text, or as an object with it."""
    value = source.values[key]
    text = value.get("content") if isinstance(value, Mapping) else value
    if text is not None and not isinstance(text, str):
        raise SharkpackError(f"{source.path}: '{key}' is {value!r}; expected the text of a token")
    return text


def _ids(source: Metadata, key: str) -> tuple[int, ...]:
    """One id, a list of them, or none."""
    value = source.values.get(key)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    if any(type(each) is not int for each in ids):
        raise SharkpackError(f"{source.path}: '{key}' is {value!r}; expected a token's id or a list of them")
    return tuple(ids)


def _flag(source: Metadata, key: str) -> bool | None:
    return None if source.values.get(key) is None else source.boolean(key)


def _chat_template(folder: Path, tokenizer: Metadata) -> str | None:
    """A file of its own comes before what the tokenizer's config holds; of several in there, the one named default."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return read_bytes(path, MAX_TEMPLATE_BYTES).decode("utf-8")
        except UnicodeDecodeError as error:
            raise SharkpackError(f"{path} is not UTF-8 text") from error
    found = tokenizer.values.get("chat_template")
    if found is None:
        found = read_values(folder / "chat_template.json", optional=True).values.get("chat_template")
    if isinstance(found, list):
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, Mapping)}
        found = named.get("default")
    if found is not None and not isinstance(found, str):
        raise SharkpackError(f"{tokenizer.path}: 'chat_template' is neither a text nor a list with one named 'default'")
    return found
