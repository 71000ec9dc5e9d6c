"""Prompts: text, messages and ids; BOS once; special tokens by their text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim import Bundle
from sharkpack.runtime_shim.text.prompt import encode_prompt
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_language import BOS, CHAT_TEMPLATE, END, TURN, VOCABULARY

Make = Callable[..., Bundle]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Bundle] = []

    def make(**changes: Any) -> Bundle:
        opened.append(Bundle.open(ToyBundle(code=b"not run", **changes).write(tmp_path / f"{len(opened)}.shark")))
        return opened[-1]

    yield make
    for bundle in opened:
        bundle.close()


def test_text(make: Make) -> None:
    assert encode_prompt(make(), "hé", raw=False) == tuple("hé".encode())


def test_text_goes_through_the_chat_template_unless_raw(make: Make) -> None:
    bundle = make(chat_template=CHAT_TEMPLATE)
    assert encode_prompt(bundle, "hi", raw=False) == (TURN, *b"hi")
    assert encode_prompt(bundle, "hi", raw=True) == tuple(b"hi")


def test_messages(make: Make) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert encode_prompt(make(chat_template=CHAT_TEMPLATE), messages, raw=False) == (TURN, *b"a", TURN, *b"b")
    with pytest.raises(SharkpackError, match="this bundle has no chat template"):
        encode_prompt(make(), messages, raw=False)


def test_special_tokens_are_read_in_text(make: Make) -> None:
    assert encode_prompt(make(), "a<end>b<turn>", raw=True) == (*b"a", END, *b"b", TURN)


def test_a_prompts_own_text_is_text_in_a_template(make: Make) -> None:
    """Only the template's control tokens are such tokens, unless it is asked for."""
    bundle = make(chat_template=CHAT_TEMPLATE)
    spelled = "a<end><turn>b"
    assert encode_prompt(bundle, spelled) == (TURN, *spelled.encode())
    assert encode_prompt(bundle, [{"role": "user", "content": spelled}]) == (TURN, *spelled.encode())
    assert encode_prompt(bundle, spelled, special=True) == (TURN, *b"a", END, TURN, *b"b")
    assert encode_prompt(bundle, spelled, raw=True) == (*b"a", END, TURN, *b"b")
    assert encode_prompt(bundle, spelled, raw=True, special=False) == tuple(spelled.encode())
    assert encode_prompt(make(add_bos=True), "<bos>a", special=False) == (BOS, *b"<bos>a")


def test_named_templates(make: Make) -> None:
    tool_use = "<end>{{ tools[0].name }}{{ messages[0].content }}"
    several = {"tool_use": tool_use, "other": "other{{ messages[0].content }}"}
    bundle, tools = make(chat_template=CHAT_TEMPLATE, chat_templates=several), [{"name": "f"}]
    assert bundle.chat_templates == ("default", "other", "tool_use")
    assert encode_prompt(bundle, "hi") == (TURN, *b"hi")
    assert encode_prompt(bundle, "hi", tools=tools) == (END, *b"fhi")
    assert encode_prompt(bundle, "hi", chat_template="other") == tuple(b"otherhi")
    with pytest.raises(SharkpackError, match="no chat template named 'x'; there are: default, other, tool_use"):
        encode_prompt(bundle, "hi", chat_template="x")
    with pytest.raises(SharkpackError, match="raw is without a chat template, and 'other' is asked for"):
        encode_prompt(bundle, "hi", raw=True, chat_template="other")


def test_templates_without_a_default(make: Make) -> None:
    """Text is completed as it is; messages have to have one named."""
    bundle = make(chat_templates={"other": "other{{ messages[0].content }}"})
    assert encode_prompt(bundle, "hi") == tuple(b"hi")
    assert encode_prompt(bundle, "hi", chat_template="other") == tuple(b"otherhi")
    with pytest.raises(SharkpackError, match=r"several chat templates and no default: name one of them \(other\)"):
        encode_prompt(bundle, [{"role": "user", "content": "hi"}])


def test_templates_write_the_names_of_tokens(make: Make) -> None:
    names = "{{ bos_token }}{{ eos_token }}{{ image_token }}{{ pad_token }}{{ pad_token is defined }}"
    assert encode_prompt(make(chat_template=names), "hi") == (BOS, END, TURN, *b"False")


def test_messages_may_be_objects(make: Make) -> None:
    bundle = make(chat_template="{% for m in messages %}{{ m.content }}{{ 'tool_calls' in m }}{% endfor %}")
    assert encode_prompt(bundle, [Said(role="user", content="a")]) == tuple(b"aFalse")  # type: ignore[arg-type]


@dataclass
class Said:
    role: str
    content: str
    tool_calls: None = None


def test_bos_comes_first_and_once(make: Make) -> None:
    assert encode_prompt(make(add_bos=True), "hi", raw=True) == (BOS, *b"hi")
    assert encode_prompt(make(add_bos=True), "<bos>hi", raw=True) == (BOS, *b"hi")
    templated = make(add_bos=True, chat_template="{{ bos_token }}" + CHAT_TEMPLATE)
    assert encode_prompt(templated, "hi", raw=False) == (BOS, TURN, *b"hi")
    assert encode_prompt(make(), "hi", raw=True) == tuple(b"hi")


def test_eos_ends_a_raw_text_once_and_no_conversation(make: Make) -> None:
    both = make(add_bos=True, add_eos=True)
    assert encode_prompt(both, "hi", raw=True) == (BOS, *b"hi", END)
    assert encode_prompt(both, "<bos>hi<end>", raw=True) == (BOS, *b"hi", END)
    templated = make(add_bos=True, add_eos=True, chat_template=CHAT_TEMPLATE)
    assert encode_prompt(templated, "hi", raw=False) == (BOS, TURN, *b"hi")
    assert encode_prompt(templated, [{"role": "user", "content": "hi"}], raw=False) == (BOS, TURN, *b"hi")


def test_ids_are_taken_as_they_are(make: Make) -> None:
    bundle = make(add_bos=True, chat_template=CHAT_TEMPLATE)
    forms: list[Any] = [[1, 2, 3], (1, 2, 3), np.array([1, 2, 3])]
    for ids in forms:
        assert encode_prompt(bundle, ids, raw=False) == (1, 2, 3)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("", "the prompt is empty"),
        ([], "the prompt is empty"),
        ([1, VOCABULARY], f"the token id {VOCABULARY} is outside the vocabulary of {VOCABULARY}"),
        ([-1], "the token id -1 is outside the vocabulary"),
        ([1.5], "a prompt is text, a list of token ids or a list of messages"),
        (["a"], "a prompt is text, a list of token ids or a list of messages"),
        ("\ud800", "the prompt is not valid Unicode text"),
    ],
)
def test_errors(make: Make, prompt: Any, message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        encode_prompt(make(), prompt, raw=False)


def test_a_broken_tokenizer_is_one_sentence(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make()
    monkeypatch.setattr(type(bundle.archive), "read", lambda self, path: b"{}")
    with pytest.raises(
        SharkpackError, match=r"tokenizer/tokenizer\.json\.zst is not a tokenizer that this version can"
    ):
        encode_prompt(bundle, "hi", raw=True)
