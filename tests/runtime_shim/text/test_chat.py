"""Chat templates: rendering as Hugging Face does, errors as one line."""

import json
from datetime import datetime

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.text.chat import ChatTemplate

CHATML = """{% for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
        {{- '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
    {%- endif %}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' -}}
{% endif %}"""
HELLO = [{"role": "user", "content": "Hello <&> you"}]


def test_blocks_are_trimmed_and_nothing_is_escaped() -> None:
    expected = (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello <&> you<|im_end|>\n<|im_start|>assistant\n"
    )
    assert ChatTemplate(CHATML).render(HELLO) == expected
    assert not ChatTemplate(CHATML).render(HELLO, add_generation_prompt=False).endswith("assistant\n")


def test_tokens_tools_and_other_variables_reach_the_template() -> None:
    template = ChatTemplate("{{ bos_token }}|{{ eos_token }}|{{ tools is none }}|{{ enable_thinking }}")
    assert template.render(HELLO, bos_token="<s>", enable_thinking=True) == "<s>||True|True"


def test_functions_and_extensions_of_hugging_face() -> None:
    assert ChatTemplate("{{ {'é': '<b>'} | tojson }}").render([]) == '{"é": "<b>"}'
    assert ChatTemplate("{{ strftime_now('%Y') }}").render([]) == str(datetime.now().year)
    assert (
        ChatTemplate("{% for i in [1, 2, 3] %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}").render([])
        == "1"
    )
    assert ChatTemplate("a{% generation %}b{% endgeneration %}c").render([]) == "abc"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('roles must\nalternate') }}", "refuses these messages: roles must alternate"),
        ("{{ messages[0].content.nope.deeper }}", "refuses these messages: 'str object' has no attribute 'nope'"),
        ("{{ 1 / 0 }}", "refuses these messages: division by zero"),
        ("{{ messages.append(1) }}", "refuses these messages"),
        ("{{ ''.__class__.__mro__ }}", "refuses these messages"),
    ],
)
def test_errors_of_rendering(source: str, message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        ChatTemplate(source).render(HELLO)


def test_errors_of_the_template() -> None:
    with pytest.raises(SharkpackError, match="the bundle's chat template is not valid: Expected an expression"):
        ChatTemplate("{% if %}")


WRITING = (
    "{{ ns.x }}",
    "{{ ns }}",
    "{{ {'x': ns.x}.values() }}",
    "{{ ns.x | upper }}",
    "{{ ns.x | tojson }}",
    "{{ ns.x ~ '' }}",
    "{% filter upper %}{{ ns.x }}{% endfilter %}",
)
GROWING = "{%% set ns = namespace(x=%s) %%}{%% for i in range(99) %%}{%% set ns.x = %s %%}{%% endfor %%}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 200000 steps"),
        (
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(99) }}",
            "more than 200000 steps",
        ),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "maximum recursion depth exceeded"),
        ("{{ 10 ** (10 ** 10) }}", "becomes too large"),
        ("{{ 'a' * 10 ** 10 }}", "becomes too large"),
        ("{% set ns = namespace(x=3) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}", "too large"),
        ("{{ 'a'.ljust(10000000000) }}", "number that is too large"),
        ("{{ 'a' | center(10000000000) }}", "number that is too large"),
        ("{{ '%10000000000d' % 1 }}", "too large"),
        ("{{ '%*d' % (1000000000, 1) }}", "too large"),
        ("{{ '{:1000000000}'.format(1) }}", "too large"),
        ("{{ ('\n' * 100000) | indent(100000) | length }}", "becomes too large"),
        ("{{ messages | tojson(indent=10000000) }}", "number that is too large"),
        ("{{ (('a' * 100000) | list | map('center', 100000) | list) | length }}", "too large"),
        ("{% set x %}{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}{% endset %}", "too large"),
        ("{% set x = 'a' * 99999 %}{% for i in range(99999) %}{{ x }}{% endfor %}", "too large"),
        ("{% for i in range(99999) %}" + "text " * 9999 + "{% endfor %}", "too large"),
        *((GROWING % ("[]", "[ns.x, ns.x]") + end, "more than 200000 steps") for end in WRITING),
        (GROWING % ("[]", "[ns.x, ns.x]") + "{{ raise_exception(ns.x) }}", "it raises a list"),
        (
            "{% set ns = namespace(x=[]) %}{% set a = 'a' * 99999 %}{% for i in range(9999) %}"
            "{% set ns.x = ns.x + [a[1:]] %}{% endfor %}",
            "too large",
        ),
    ],
)
def test_templates_that_would_not_end(source: str, message: str) -> None:
    with pytest.raises(SharkpackError, match=message):
        ChatTemplate(source).render(HELLO)


@pytest.mark.parametrize(
    ("start", "grown"),
    [
        ("'ab'", "ns.x ~ ns.x"),
        ("'ab'", "ns.x + ns.x"),
        ("[1]", "ns.x + ns.x"),
        ("'ab'", "ns.x.replace('a', 'aa')"),
        ("'ab'", "ns.x | replace('a', 'aa')"),
        ("'ab'", "'%s%s' % (ns.x, ns.x)"),
        ("'ab'", "'{0}{0}'.format(ns.x)"),
        ("'ab'", "'%s%s' | format(ns.x, ns.x)"),
        ("'ab'", "[ns.x, ns.x] | join"),
        ("'ab'", "ns.x.join([ns.x, ns.x])"),
        ("'ab'", "ns.x.translate({97: 'aaa'})"),
        ("[1]", "[ns.x, ns.x] | sum(start=[])"),
        ("'ab'", "[ns.x, ns.x] | string"),
    ],
)
def test_what_grows_without_end_is_stopped(start: str, grown: str) -> None:
    with pytest.raises(SharkpackError, match="what it makes becomes too large"):
        ChatTemplate(GROWING % (start, grown)).render(HELLO)


def test_long_messages_pass_all_that_templates_do() -> None:
    long = "A line of text, and some more.\n" * 100_000
    source = (
        "{% for m in messages %}{% set text = m.content | trim %}{% set text = text ~ '\n' + text %}"
        "{{ '<' + m.role + '>' }}{{ text.replace('line', 'row') | replace('more', 'less') }}{{ '%s' % text }}"
        "{{ text.split('\n') | join(' ') }}{{ m | tojson }}{% endfor %}"
    )
    rendered = ChatTemplate(source).render([{"role": "user", "content": long}])
    twice = "\n".join([long.strip()] * 2)
    changed = twice.replace("line", "row").replace("more", "less")
    told = json.dumps({"role": "user", "content": long})
    assert rendered == f"<user>{changed}{twice}{' '.join(twice.splitlines())}{told}"


def test_loops_know_what_they_know_elsewhere() -> None:
    source = (
        "{% for m in messages recursive %}{{ loop.index }}/{{ loop.length }}{{ loop.last }}"
        "{{ loop(messages) if loop.depth < 2 }}{% endfor %}"
        "{% for key, value in messages[0].items() if key != 'role' %}{{ key }}{{ loop.revindex }}{% endfor %}"
        "{% for x in [] %}{% else %}none{% endfor %}{{ 2 ** 3 * 0.5 }}{{ 'ab' * 2 }}"
    )
    assert ChatTemplate(source).render(HELLO) == "1/1True1/1Truecontent1none4.0abab"


def test_a_template_that_is_too_deep() -> None:
    with pytest.raises(SharkpackError, match="chat template is not valid: maximum recursion depth"):
        ChatTemplate("{% if 1 %}" * 3000 + "{% endif %}" * 3000)
