"""Prompts of every form through the same calls, tokens and text there and back, and what an engine says of itself."""

import pytest

from sharkpack.runtime_shim import ContextExceededError, EngineInfo, Options, RequestError
from tests.runtime_shim.conftest import OpenFake
from tests.runtime_shim.toy_language import CONTEXT, PAGE_SIZE, TURN, VOCABULARY, continuation

TEMPLATE = (
    "{% for tool in tools or [] %}<turn>{{ tool.function.name }}{% endfor %}"
    "{% for message in messages %}<turn>{{ message.content }}{% endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<turn>quick{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "add"}}
MESSAGES = [{"role": "user", "content": "hi"}]


def test_messages_tools_and_variables_go_through_the_same_calls(open_fake: OpenFake) -> None:
    engine, _ = open_fake(chat_template=TEMPLATE)
    options: Options = {"tools": [TOOL], "variables": {"enable_thinking": False}}
    ids = (TURN, *b"add", TURN, *b"hi", TURN, *b"quick")
    for prompt in ("hi", MESSAGES):
        assert engine.encode(prompt, tools=[TOOL], variables={"enable_thinking": False}) == ids
        assert engine.count_tokens(prompt, tools=[TOOL], variables={"enable_thinking": False}) == len(ids)
        assert engine.generate(prompt, max_tokens=1, **options).result().prompt_ids == ids  # type: ignore[misc]
        assert engine.complete(prompt, **options).prompt_ids == ids
        assert engine.batch([prompt, "x"], **options)[0].prompt_ids == ids
    assert engine.encode(MESSAGES) == (TURN, *b"hi")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"variables": {"enable_thinkin": 1}},
            "does not read 'enable_thinkin': what it reads is enable_thinking, tools",
        ),
        ({"variables": {"messages": []}}, "the variable 'messages' is not free"),
        ({"variables": [1]}, r"variables is \[1\]: expected a dict"),
        ({"tools": "add"}, "tools is 'add': expected a list of dicts"),
        ({"tools": [add := len]}, "expected a list of dicts"),
        ({"tools": [TOOL], "raw": True}, "tools: nothing but the chat template reads them"),
    ],
)
def test_what_the_template_would_not_look_at_is_refused(
    open_fake: OpenFake, options: dict[str, object], message: str
) -> None:
    engine, _ = open_fake(chat_template=TEMPLATE)
    for use in (engine.generate, engine.encode, engine.count_tokens):
        with pytest.raises(RequestError, match=message):
            use("hi", **options)  # type: ignore[arg-type]


def test_tools_without_a_template_that_reads_them(open_fake: OpenFake) -> None:
    engine, _ = open_fake(chat_template="{% for message in messages %}{{ message.content }}{% endfor %}")
    with pytest.raises(RequestError, match="does not read 'tools': what it reads is none"):
        engine.encode("hi", tools=[TOOL])
    engine, _ = open_fake()
    for prompt in ("hi", [1, 2]):
        with pytest.raises(RequestError, match="tools: nothing but the chat template reads them"):
            engine.encode(prompt, tools=[TOOL])


def test_messages_as_raw_text_are_refused(open_fake: OpenFake) -> None:
    engine, _ = open_fake(chat_template=TEMPLATE)
    with pytest.raises(RequestError, match="raw is without it"):
        engine.encode(MESSAGES, raw=True)


def test_an_option_that_is_none(open_fake: OpenFake) -> None:
    engine, _ = open_fake()
    for use in (engine.generate, engine.complete, engine.encode, engine.count_tokens):
        with pytest.raises(TypeError, match="temperature"):
            use("hi", temperature=1)  # type: ignore[call-arg]


def test_tokens_become_text_again(open_fake: OpenFake) -> None:
    engine, _ = open_fake()
    text = "été, 夏 and 🦈"
    assert engine.decode(engine.encode(text)) == text
    assert engine.decode([TURN, *b"a", 299, 0xC3]) == "a\ufffd"
    assert engine.decode([]) == ""
    result = engine.generate("Hello", max_tokens=60).result()
    assert engine.decode(result.token_ids) == result.text
    with pytest.raises(RequestError, match=f"the token id {VOCABULARY} is outside"):
        engine.decode([VOCABULARY])


def test_counting_tells_how_much_too_long_a_prompt_is(open_fake: OpenFake) -> None:
    engine, _ = open_fake()
    assert engine.count_tokens("x" * (CONTEXT + 1)) == CONTEXT + 1
    with pytest.raises(ContextExceededError):
        engine.encode("x" * (CONTEXT + 1))


def test_what_an_engine_says_of_itself(open_fake: OpenFake) -> None:
    engine, _ = open_fake(cache_pages=30)
    assert engine.info == EngineInfo(
        model="toy",
        architecture="toy",
        target="none",
        device="fake",
        threads=0,
        load_ms=0.0,
        context_length=CONTEXT,
        built_context_length=CONTEXT,
        vocab_size=VOCABULARY,
        cache_pages=30,
        page_size=PAGE_SIZE,
        max_batch=4,
        prefill_chunk=CONTEXT,
    )
    assert engine.complete([1], max_tokens=3).target == "none"
    assert list(engine.complete([1], max_tokens=3).token_ids) == continuation([1], 3)
