"""Transcript and StopFilter: nothing of a stop string is shown, nothing else is lost, and special tokens count."""

import random

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.text.detokenizer import Vocabulary
from sharkpack.runtime_shim.text.transcript import StopFilter, Transcript
from tests.runtime_shim.toy_language import END, TURN, toy_tokenizer


def _run(pieces: list[str], stops: list[str]) -> tuple[list[str], bool]:
    filter_ = StopFilter(stops)
    shown = []
    for piece in pieces:
        shown.append(filter_.push(piece))
        if filter_.stopped:
            return shown, True
    return [*shown, filter_.finish()], False


def test_passes_everything_without_stops() -> None:
    assert _run(["a", "", "b"], []) == (["a", "", "b", ""], False)


def test_holds_back_what_may_begin_a_stop() -> None:
    assert _run(["say </", "s", "> more"], ["</s>"]) == (["say ", "", ""], True)


def test_lets_go_of_what_was_none_after_all() -> None:
    assert _run(["x <", "/b", "y"], ["</s>"]) == (["x ", "</b", "y", ""], False)


def test_shows_a_held_end_when_nothing_more_comes() -> None:
    assert _run(["a\n"], ["\n\n"]) == (["a", "\n"], False)


def test_the_earliest_of_several_wins() -> None:
    assert _run(["abcdef"], ["ef", "cd"]) == (["ab"], True)


@pytest.mark.parametrize("seed", range(30))
def test_any_split_gives_the_same_text(seed: int) -> None:
    draw = random.Random(seed)
    text = "".join(draw.choices("ab\n", k=60))
    stops = ["".join(draw.choices("ab\n", k=draw.randint(2, 5))) for _ in range(2)]
    cuts = sorted(draw.sample(range(61), 12))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, 60], strict=True)]
    shown, stopped = _run(pieces, stops)
    first = min((text.find(stop) for stop in stops if stop in text), default=-1)
    assert stopped == (first >= 0)
    assert "".join(shown) == (text[:first] if stopped else text)


def test_refuses_an_empty_stop() -> None:
    with pytest.raises(SharkpackError, match="a stop string is empty"):
        StopFilter(["a", ""])


def test_what_is_not_printed_counts() -> None:
    filter_ = StopFilter(["b|c"])
    assert filter_.push("ab") == "a"
    assert filter_.push("|", printed=False) == ""
    assert filter_.push("d") == "bd"
    assert filter_.push("b") == ""
    assert filter_.push("|", printed=False) == ""
    assert filter_.push("c") == ""
    assert filter_.stopped
    assert filter_.finish() == ""


def _told(tokens: list[int], stop: list[str], *, end: int | None = None) -> tuple[str, str | None]:
    """The text and the reason for its end, where `end` is an end token that comes last."""
    transcript = Transcript(Vocabulary(toy_tokenizer()), stop)
    reason = None
    for token in tokens:
        reason = transcript.on_token(token)
        if reason is not None:
            break
    if reason is None and end is not None:
        reason = transcript.on_end(end)
    transcript.finish()
    return transcript.text, reason


@pytest.mark.parametrize(
    ("stop", "text", "stopped"),
    [
        ("<turn>", "ab", True),
        ("b<turn>", "a", True),
        ("<turn>c", "ab", True),
        ("b<turn>c<end>", "a", True),
        ("<turn><end>", "abcd", False),
        ("bc", "a", True),  # as it is printed: special tokens are nothing there
        ("b<end>c", "abcd", False),
        ("<bos>", "abcd", False),
    ],
)
def test_special_tokens_in_stop_strings(stop: str, text: str, stopped: bool) -> None:
    told = _told([*b"ab", TURN, *b"c", END, *b"d"], [stop])
    assert told == (text, "stop_string" if stopped else None)


def test_the_first_of_several_ends_it() -> None:
    tokens = [*b"abc", TURN, *b"d"]
    assert _told(tokens, ["c<turn>", "bcd", "b"]) == ("a", "stop_string")
    assert _told(tokens, ["<turn>", "d"]) == ("abc", "stop_string")


def test_spelled_as_text_it_ends_it_too() -> None:
    assert _told(list(b"ab<turn>c"), ["<turn>"]) == ("ab", "stop_string")


def test_an_end_token_may_complete_a_stop_string() -> None:
    assert _told(list(b"ab"), ["b<end>"], end=END) == ("a", "stop_string")
    assert _told(list(b"ab"), ["a<end>"], end=END) == ("ab", None)
    assert _told(list(b"ab"), [], end=END) == ("ab", None)
