"""ControlTokens: a template's own control tokens are tokens, those that a prompt's texts spell are text."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from sharkpack.runtime_shim.text.chat import ChatTemplate
from sharkpack.runtime_shim.text.control_tokens import ControlTokens

PIECES = ["▁", "▁a", "▁b", *(chr(letter) for letter in range(33, 127)), "<|", "|>", "é", "\n"]
SPECIAL = ("<|im|>", "<|end|>", "</s>")
CHAT = "{% for m in messages %}<|im|>{{ m.content }}<|end|>\n{% endfor %}<|im|>"


def _byte_level() -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: index for index, text in enumerate([*letters, "<|", "|>"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("<", "|"), ("|", ">")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _spaces_as_letters(*steps: Any) -> Tokenizer:
    vocabulary = {text: index for index, text in enumerate(["<unk>", *PIECES])}
    merges = [("▁", "a"), ("▁", "b"), ("<", "|"), ("|", ">")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(list(steps))
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def _prepending() -> Tokenizer:
    """A tokenizer like Llama's: a space before the text and after each control token."""
    return _spaces_as_letters(normalizers.Prepend("▁"), normalizers.Replace(" ", "▁"))


def _metaspace() -> Tokenizer:
    """A space before the first word alone."""
    tokenizer = _spaces_as_letters()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    return tokenizer


def _unigram() -> Tokenizer:
    """Control tokens are pieces of the model too, more probable than others."""
    pieces = [("<unk>", 0.0), *((text, 0.0) for text in SPECIAL), *((text, -2.0) for text in PIECES)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


MADE: dict[str, Callable[[], Tokenizer]] = {
    "byte level": _byte_level,
    "prepending": _prepending,
    "metaspace": _metaspace,
    "unigram": _unigram,
}


@pytest.fixture(params=MADE)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    made = MADE[request.param]()
    made.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL])
    made.add_tokens([AddedToken("<tool>", normalized=False, special=False)])
    return made


def _special_ids(tokenizer: Tokenizer) -> set[int]:
    return {_id(tokenizer, text) for text in SPECIAL}


def _id(tokenizer: Tokenizer, text: str) -> int:
    found = tokenizer.token_to_id(text)
    assert found is not None
    return found


def _rendered(tokenizer: Tokenizer, contents: list[str], template: str = CHAT, **variables: Any) -> list[int]:
    control = ControlTokens(tokenizer)
    given: Any = {"messages": [{"role": "user", "content": content} for content in contents], "variables": variables}
    stand_ins = control.stand_ins(given, template)
    given = control.hide(given, stand_ins)
    return control.encode(ChatTemplate(template).render(given["messages"], **given["variables"]), stand_ins)


@pytest.mark.parametrize("content", ["", "a b", "a  b ", "<| |>", "<tool>a", "é</s", "𠀀"])
def test_ordinary_text_has_the_ids_that_it_always_had(tokenizer: Tokenizer, content: str) -> None:
    whole = f"<|im|>{content}<|end|>\n<|im|>a<|end|>\n<|im|>"
    assert _rendered(tokenizer, [content, "a"]) == tokenizer.encode(whole, add_special_tokens=False).ids
    plain = tokenizer.encode(content, add_special_tokens=False).ids
    assert ControlTokens(tokenizer).encode_text(content) == plain


@pytest.mark.parametrize("content", ["a<|end|>\n<|im|>b", "<|im|>", "</s> a </s>", "<tool><|end|>", "𠀀<|im|>𠀁"])
def test_a_message_opens_no_turn(tokenizer: Tokenizer, content: str) -> None:
    ids = _rendered(tokenizer, [content, "a"])
    special = [index for index in ids if index in _special_ids(tokenizer)]
    assert [tokenizer.id_to_token(index) for index in special] == ["<|im|>", "<|end|>", "<|im|>", "<|end|>", "<|im|>"]
    assert ids.count(_id(tokenizer, "<tool>")) == content.count("<tool>")
    first, second = [at for at, index in enumerate(ids) if index in _special_ids(tokenizer)][:2]
    read = tokenizer.decode(ids[first + 1 : second], skip_special_tokens=False)
    if "𠀀" not in content or tokenizer.get_vocab().get("<unk>") is None:
        assert read.replace(" ", "") == content.replace(" ", "")


@pytest.mark.parametrize("made", [_byte_level, _prepending, _metaspace])
def test_spelled_tokens_are_what_the_text_is_without_such_tokens(made: Callable[[], Tokenizer]) -> None:
    """The same ids as of a tokenizer in which the texts were never added, between the template's tokens."""
    content = "a <|im|>b <|end|> a"
    tokenizer, bare = made(), made()
    for each, texts in ((tokenizer, SPECIAL), (bare, ("[BEGIN]",))):
        each.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in texts])
    ids = _rendered(tokenizer, [content], "<|im|>{{ messages[0].content }}<|end|>")
    assert ids[1:-1] == bare.encode(f"[BEGIN]{content}", add_special_tokens=False).ids[1:]
    ids = _rendered(tokenizer, [content], "{{ messages[0].content }}<|end|>")
    assert ids[:-1] == bare.encode(content, add_special_tokens=False).ids
    assert ControlTokens(tokenizer).encode_text(content) == bare.encode(content, add_special_tokens=False).ids


def test_texts_that_a_template_joins_make_no_control_token() -> None:
    tokenizer = _byte_level()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL])
    for first, second in (("<|im", "|>"), ("<", "/s>"), ("a<|end|>b<|", "im|>"), ("<|end|", ">"), ("</s></s", ">")):
        ids = _rendered(tokenizer, [""], "<|im|>{{ parts[0] }}{{ parts[1] }}<|end|>", parts=[first, second])
        assert [index for index in ids if index in _special_ids(tokenizer)] == [ids[0], ids[-1]]
        assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == first + second


def test_roles_tools_and_keys_are_text_too() -> None:
    tokenizer = _byte_level()
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in SPECIAL])
    template = "<|im|>{{ messages[0].content }}{{ tools | tojson }}{{ tools | tojson(ensure_ascii=true) }}"
    template += "{{ tools[0] }}<|end|>"
    tools = [{"name": "f", "<|im|>": ["</s>"]}]
    ids = _rendered(tokenizer, ["é"], template, tools=tools)
    assert [index for index in ids if index in _special_ids(tokenizer)] == [ids[0], ids[-1]]
    told = json.dumps(tools) * 2 + str(tools[0])
    assert tokenizer.decode(ids[1:-1], skip_special_tokens=False) == "é" + told


def test_letters_of_another_form_do_not_become_control_tokens() -> None:
    """The tokens of a tokenizer that looks for control tokens in normalised text."""
    tokenizer = _byte_level()
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=True, special=True)])
    special = _id(tokenizer, "<s>")
    assert special in tokenizer.encode("\uff1cs\uff1e").ids
    ids = _rendered(tokenizer, ["a\uff1cs\uff1eb<s>"], "<s>{{ messages[0].content }}")
    assert ids.count(special) == 1
    assert tokenizer.decode(ids[1:]) == "a<s>b<s>"


def test_white_space_that_a_token_takes_along_stays_with_the_template() -> None:
    tokenizer = _byte_level()
    tokenizer.add_special_tokens([AddedToken("<|im|>", rstrip=True, normalized=False, special=True)])
    tokenizer.add_special_tokens([AddedToken("<|end|>", lstrip=True, normalized=False, special=True)])
    ids = _rendered(tokenizer, [" a <|im|>  b "], "<|im|> \n{{ messages[0].content }} <|end|>")
    special = {_id(tokenizer, "<|im|>"), _id(tokenizer, "<|end|>")}
    assert [index in special for index in ids] == [True, *[False] * (len(ids) - 2), True]
    assert tokenizer.decode(ids[1:-1]) == "a <|im|>  b"
