"""StopFilter: nothing of a stop string is shown, and nothing else is lost."""

import random

import pytest

from sharkpack.formats.errors import SharkpackError
from sharkpack.runtime_shim.text.transcript import StopFilter


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
