"""Messages as chat templates expect them: plain JSON values, normalised as transformers' `apply_chat_template` does."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sharkpack.runtime_shim.errors import RequestError

Message = Mapping[str, Any]

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names under which clients pass on what a model thought; templates read the first, some the second."""


def normalize_messages(messages: Sequence[object]) -> list[dict[str, Any]]:
    """The messages as dicts of plain values: objects (dataclasses, pydantic models) become dicts, keys whose value is
    None are left out, and what a model thought stands under every name that templates read it by.

    Raises RequestError for a message that is none of these.
    """
    normal = []
    for message in messages:
        plain = plain_data(message)
        if not isinstance(plain, dict):
            raise RequestError(f"a message is {plain!r}: expected a dict with a role and its content")
        said = {key: value for key, value in plain.items() if value is not None}
        thought = next((said[key] for key in _REASONING if key in said), None)
        if thought is not None:
            said = {"thinking": thought, **said, "reasoning_content": thought}
        normal.append(said)
    return normal


def plain_data(value: Any) -> Any:
    """`value` built anew of JSON's types, so that a template meets no object with methods that the sandbox does not
    know; what has no such form becomes "<its type>"."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    if isinstance(value, Mapping):
        return {plain_data(key): plain_data(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(plain_data, value)) if type(value) in (list, tuple) else list(map(plain_data, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return plain_data(value.model_dump())
    if callable(getattr(value, "item", None)) and getattr(value, "shape", None) == ():
        return plain_data(value.item())  # a scalar of numpy
    return f"<{type(value).__name__}>"
