"""From what a caller gives (text, messages or token ids) to the token ids that the program computes."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from sharkpack.runtime_shim.bundle.bundle import Bundle
from sharkpack.runtime_shim.errors import ContextExceededError, RequestError

_KINDS = "a prompt is text, a list of token ids or a list of messages"

Prompt = str | Sequence[int] | Sequence[Mapping[str, Any]]


def encode_prompt(bundle: Bundle, prompt: Prompt, *, raw: bool) -> tuple[int, ...]:
    """Token ids of `prompt`; ids are taken as they are, messages go through the chat template, and so does text
    unless `raw` or the bundle has none. Raises SharkpackError for an empty prompt and for ids outside the vocabulary.
    """
    if isinstance(prompt, bytes | bytearray | Mapping) or not hasattr(prompt, "__len__"):
        raise RequestError(_KINDS)
    if len(prompt) == 0:
        raise RequestError("the prompt is empty: give at least one character")
    if isinstance(prompt, str):
        return _encode_text(bundle, prompt, raw)
    if isinstance(prompt[0], Mapping):
        return _tokens(bundle, _render(bundle, prompt))
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
    longer = (
        f"ask for a longer context, up to {built}" if tokens <= built else "build the bundle with a longer --context"
    )
    raise ContextExceededError(
        f"the prompt is {tokens} tokens and the context {context_length}: shorten the prompt, or {longer}",
        tokens,
        context_length,
    )


def _encode_text(bundle: Bundle, text: str, raw: bool) -> tuple[int, ...]:
    if not raw and bundle.chat_template is not None:
        text = _render(bundle, [{"role": "user", "content": text}])
    return _tokens(bundle, text)


def _render(bundle: Bundle, messages: Sequence[Any]) -> str:
    template, tokenizer = bundle.chat_template, bundle.manifest.tokenizer
    if template is None:
        raise RequestError("this bundle has no chat template: give the prompt as text")
    return template.render(messages, bos_token=tokenizer.bos_token, eos_token=tokenizer.eos_token)


def _tokens(bundle: Bundle, text: str) -> tuple[int, ...]:
    """Text that spells a special token becomes that token. BOS comes first where the model wants it, and only once."""
    tokenizer = bundle.manifest.tokenizer
    try:
        ids: list[int] = bundle.tokenizer.encode(text, add_special_tokens=False).ids
    except (TypeError, UnicodeEncodeError) as error:  # half of a surrogate pair
        raise RequestError("the prompt is not valid Unicode text") from error
    if tokenizer.add_bos and tokenizer.bos_token_id is not None and ids[:1] != [tokenizer.bos_token_id]:
        ids.insert(0, tokenizer.bos_token_id)
    return check_ids(ids, bundle.manifest.signature.vocab_size)
