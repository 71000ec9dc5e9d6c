"""From what a caller gives (text, messages or token ids) to the token ids that the program computes."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from sharkpack.formats.archive.manifest import Manifest
from sharkpack.runtime_shim.errors import ContextExceededError, RequestError
from sharkpack.runtime_shim.text.length import has_more_tokens
from sharkpack.runtime_shim.text.messages import normalize_messages, plain_data

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from sharkpack.runtime_shim.text.chat import ChatTemplate
    from sharkpack.runtime_shim.text.control_tokens import ControlTokens

FIXED_VARIABLES = frozenset({"messages", "bos_token", "eos_token"})
"""Variables of a chat template that a caller does not set."""
_KINDS = "a prompt is text, a list of token ids or a list of messages"

Tool = Mapping[str, Any]
Prompt = str | Sequence[int] | Sequence[Mapping[str, Any]]


class BundleTexts(Protocol):
    """Protocol for the part of a bundle that prompts are encoded by."""

    @property
    def manifest(self) -> Manifest: ...
    @property
    def tokenizer(self) -> "Tokenizer": ...
    @property
    def control_tokens(self) -> "ControlTokens": ...
    @property
    def chat_templates(self) -> tuple[str, ...]: ...
    def chat_template(self, name: str = "default") -> "ChatTemplate": ...


class PromptOptions(TypedDict, total=False):
    """Keyword arguments that say how a prompt becomes token ids.

    raw: text as it is, without a chat template. tools: what the model may call, as the template expects each: a dict
    with "type" and "function", usually. variables: switches of the template by name, as {"enable_thinking": False}.
    chat_template: the name of one of the bundle's; without one "tool_use" where tools are given and there is one of
    that name, else the default. special: whether control tokens that the prompt's texts spell become such tokens, or
    stay text; None is tokens for text that is completed as it is, and text for what a template is given.
    """

    raw: bool
    tools: Sequence[Tool]
    variables: Mapping[str, object] | None
    chat_template: str | None
    special: bool | None


def encode_prompt(
    bundle: BundleTexts,
    prompt: Prompt,
    *,
    raw: bool = False,
    tools: Sequence[Tool] = (),
    variables: Mapping[str, object] | None = None,
    chat_template: str | None = None,
    special: bool | None = None,
    limit: int | None = None,
) -> tuple[int, ...]:
    """Token ids of `prompt`; ids are taken as they are, messages go through a chat template, and so does text unless
    `raw` or the bundle has no default one.

    limit: where there are more tokens for certain, not all of a text is tokenised. Raises RequestError, for an empty
    prompt and ids outside the vocabulary too, and ContextExceededError for more than the limit.
    """
    if isinstance(prompt, bytes | bytearray | Mapping) or not hasattr(prompt, "__getitem__"):
        raise RequestError(_KINDS)
    if len(prompt) == 0:
        raise RequestError("the prompt is empty: give at least one character")
    if raw and chat_template is not None:
        raise RequestError(f"raw is without a chat template, and {chat_template!r} is asked for: leave out one of them")
    name = _template_name(bundle, chat_template, tools)
    template = None if name is None else bundle.chat_template(name)
    values = _template_values(template, tools, variables)
    if isinstance(prompt, str) and not raw and template is not None:
        prompt = [{"role": "user", "content": prompt}]
    if not isinstance(prompt, str) and _is_message(prompt[0]):
        if raw:
            raise RequestError("messages go through the chat template, and raw is without it: give the prompt as text")
        return _encode_messages(bundle, template, prompt, values, special is True, limit)
    if values:
        what = " and ".join(values)
        raise RequestError(f"{what}: nothing but the chat template reads them, and this prompt goes without it")
    if isinstance(prompt, str):
        text, control = prompt, bundle.control_tokens
        as_text = special is False
        return _tokens(
            bundle, text, lambda: control.encode_text(text) if as_text else control.encode(text), limit, ended=True
        )
    return check_ids(prompt, bundle.manifest.signature.vocab_size)


def check_ids(prompt: Sequence[Any], vocab_size: int) -> tuple[int, ...]:
    """The ids as a tuple, when there are some and all are in the vocabulary; else SharkpackError."""
    try:
        ids = tuple(operator.index(token) for token in prompt)
    except TypeError as error:
        raise RequestError(_KINDS) from error
    if not ids:
        raise RequestError("the prompt is empty: give at least one token")
    wrong = next((token for token in ids if not 0 <= token < vocab_size), None)
    if wrong is not None:
        raise RequestError(f"the token id {wrong} is outside the vocabulary of {vocab_size}")
    return ids


def check_length(tokens: int, context_length: int, built: int) -> None:
    """Refuse more tokens than a sequence may have; the bundle was built for `built`."""
    if tokens <= context_length:
        return
    raise _too_long(f"{tokens} tokens", tokens, context_length, built)


def _too_long(length: str, tokens: int, context_length: int, built: int) -> ContextExceededError:
    longer = (
        f"ask for a longer context, up to {built}" if tokens <= built else "build the bundle with a longer --context"
    )
    return ContextExceededError(
        f"the prompt is {length} and the context {context_length}: shorten the prompt, or {longer}",
        tokens,
        context_length,
    )


def _is_message(value: object) -> bool:
    """A dict, or an object that becomes one."""
    return isinstance(value, Mapping) or is_dataclass(value) or hasattr(value, "model_dump")


def _template_name(bundle: BundleTexts, asked: str | None, tools: Sequence[Tool]) -> str | None:
    """The template to use, chosen as transformers does; None where there is no default."""
    names = bundle.chat_templates
    if asked is not None:
        return asked
    if tools and "tool_use" in names:
        return "tool_use"
    return "default" if "default" in names else None


def _template_values(
    template: "ChatTemplate | None", tools: Sequence[Tool], variables: Mapping[str, object] | None
) -> dict[str, Any]:
    """Returns the variables of the chat template besides messages. Raises RequestError for what it would not look
    at."""
    if not isinstance(tools, Sequence) or not all(isinstance(tool, Mapping) for tool in tools):
        raise RequestError(f"tools is {tools!r}: expected a list of dicts, one a tool")
    if variables is not None and not isinstance(variables, Mapping):
        raise RequestError(f"variables is {variables!r}: expected a dict of the template's variables")
    values = dict(variables or {}) | ({"tools": list(tools)} if tools else {})
    for name in values:
        if name in FIXED_VARIABLES:
            raise RequestError(f"the variable {name!r} is not free: the runtime sets it")
        if template is not None and name not in template.variables:
            known = ", ".join(sorted(template.variables - FIXED_VARIABLES)) or "none"
            raise RequestError(f"the bundle's chat template does not read {name!r}: what it reads is {known}")
    return values


def _encode_messages(
    bundle: BundleTexts,
    template: "ChatTemplate | None",
    messages: Sequence[Any],
    values: Mapping[str, Any],
    special: bool,
    limit: int | None,
) -> tuple[int, ...]:
    if template is None and bundle.chat_templates:
        there = ", ".join(bundle.chat_templates)
        raise RequestError(f"this bundle has several chat templates and no default: name one of them ({there})")
    if template is None:
        raise RequestError("this bundle has no chat template: give the prompt as text")
    control, names = bundle.control_tokens, bundle.manifest.tokenizer.special_tokens
    given = {"messages": normalize_messages(messages), "values": plain_data(values)}
    stand_ins = {} if special else control.stand_ins(given, template.source)
    given = control.hide(given, stand_ins)
    text = template.render(given["messages"], **{**names, **given["values"]})
    return _tokens(bundle, text, lambda: control.encode(text, stand_ins), limit, ended=False)


def _tokens(
    bundle: BundleTexts, text: str, encode: Callable[[], list[int]], limit: int | None, *, ended: bool
) -> tuple[int, ...]:
    """The ids that `encode` makes of `text`. The tokens that the model wants before a text, and after one that is
    `ended`, are added unless it spells them already: a rendered conversation waits for its answer."""
    tokenizer = bundle.manifest.tokenizer
    try:
        if limit is not None and has_more_tokens(bundle.tokenizer, text, limit):
            length = f"more than {limit} tokens ({len(text)} characters)"
            raise _too_long(length, limit + 1, limit, bundle.manifest.signature.context_length)
        ids = encode()
    except (TypeError, UnicodeEncodeError) as error:  # half of a surrogate pair
        raise RequestError("the prompt is not valid Unicode text") from error
    before, after = list(tokenizer.prefix), list(tokenizer.suffix)
    if ids[: len(before)] != before:
        ids = [*before, *ids]
    if ended and after and ids[-len(after) :] != after:
        ids = [*ids, *after]
    return check_ids(ids, bundle.manifest.signature.vocab_size)
