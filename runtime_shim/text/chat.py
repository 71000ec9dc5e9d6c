"""Chat templates: Jinja in a sandbox, with the settings and functions that Hugging Face gives its templates."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NoReturn

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from sharkpack.runtime_shim.errors import BundleUnsupportedError, RequestError
from sharkpack.runtime_shim.text.messages import Message
from sharkpack.runtime_shim.text.template_sandbox import TemplateSandbox, new_budget

_FAULTS = (
    *(TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    *(RecursionError, MemoryError),
)
"""What a template's own mistakes raise."""


class _Generation(Extension):
    """`{% generation %}` marks what the assistant said, for training; rendering is as if it were not there."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """One compiled template; `source` is its text. Raises SharkpackError where the template is not valid."""

    def __init__(self, source: str) -> None:
        extensions = [loopcontrols, _Generation]
        environment = TemplateSandbox({"tojson": _to_json}, trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self.source, self._environment = source, environment
        try:
            self._template = environment.from_string(source)
        except _FAULTS as error:
            raise BundleUnsupportedError(f"the bundle's chat template is not valid: {_one_line(error)}") from error

    @property
    def variables(self) -> frozenset[str]:
        """Names of what `render` can give the template: those that it reads, and neither sets nor has as functions."""
        read = meta.find_undeclared_variables(self._environment.parse(self.source))
        return frozenset(read).difference(self._environment.globals)

    def render(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The prompt for `messages`, plain and normalised ones. Raises SharkpackError with the template's words.

        `variables` (tokens, tools, documents, switches of a model) reach the template by their names.
        """
        values = {"tools": None, "documents": None, **variables, "messages": messages}
        try:
            with new_budget():
                return self._template.render(add_generation_prompt=add_generation_prompt, **values)
        except _FAULTS as error:
            raise RequestError(f"the bundle's chat template refuses these messages: {_one_line(error)}") from error


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML, which a model has never seen.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message if isinstance(message, str) else f"it raises a {type(message).__name__}")


def _strftime_now(layout: str) -> str:
    return datetime.now().strftime(layout)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
