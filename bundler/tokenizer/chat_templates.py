"""A checkpoint's chat templates by name; "default" is the one that is used where none is asked for by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sharkpack.bundler.sources.json_file import read_bytes, read_values
from sharkpack.bundler.sources.metadata import Metadata
from sharkpack.formats.errors import SharkpackError
from sharkpack.formats.io.text import decode_text

DEFAULT = "default"
MAX_BYTES = 16 << 20
_FURTHER = "additional_chat_templates"


def read_chat_templates(folder: Path) -> dict[str, str]:
    """Files of their own come before what tokenizer_config.json holds: chat_template.jinja is the default, those in
    additional_chat_templates/ have their names. SharkpackError for what is no template."""
    files = {path.stem: path for path in sorted((folder / _FURTHER).glob("*.jinja"))}
    if (folder / checkpoint_path(DEFAULT)).is_file():
        files[DEFAULT] = folder / checkpoint_path(DEFAULT)
    if files:
        return {name: _read(path) for name, path in files.items()}
    for name in ("tokenizer_config.json", "chat_template.json"):
        source = read_values(folder / name, optional=True)
        if source.values.get("chat_template") is not None:
            return _templates(source)
    return {}


def checkpoint_path(name: str) -> str:
    """The file of a checkpoint that holds the template of that name."""
    return "chat_template.jinja" if name == DEFAULT else f"{_FURTHER}/{name}.jinja"


def without_default(templates: Mapping[str, str]) -> str | None:
    """Returns the note on templates none of which is the default; None where there is nothing to say."""
    if not templates or DEFAULT in templates:
        return None
    return (
        f"no chat template is named '{DEFAULT}' (there are {', '.join(sorted(templates))}): a prompt of text is "
        "completed as it is, unless --chat-template names one"
    )


def _read(path: Path) -> str:
    return decode_text(read_bytes(path, MAX_BYTES), str(path))


def _templates(source: Metadata) -> dict[str, str]:
    """A text, a list of objects with name and template, or an object of them by name."""
    found: Any = source.values["chat_template"]
    if isinstance(found, str):
        return {DEFAULT: found}
    if isinstance(found, list) and all(isinstance(each, Mapping) for each in found):
        found = {each.get("name"): each.get("template") for each in found}
    if not isinstance(found, Mapping) or not all(isinstance(each, str) for pair in found.items() for each in pair):
        raise SharkpackError(
            f"{source.path}: 'chat_template' is neither a text nor a list of objects with 'name' and 'template'"
        )
    return dict(found)
