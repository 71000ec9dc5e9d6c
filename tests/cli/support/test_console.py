"""Numbers and tables as people read them."""

import pytest

from sharkpack.cli.support.console import format_bytes, format_count, format_seconds, write_table


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (98_362_432, "98.4 MB"),
        (999_600, "1 MB"),
        (491_400_032, "491 MB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert format_bytes(count) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12"), (134_515_008, "134.5 M"), (7_240_000_000, "7.2 B")])
def test_counts(count: int, text: str) -> None:
    assert format_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0.4 ms"), (0.0124, "12 ms"), (3.44, "3.4 s"), (59.96, "60.0 s"), (125, "2 min 05 s")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_table_away_from_a_terminal_keeps_long_cells(capsys: pytest.CaptureFixture[str]) -> None:
    write_table(("name", "size"), [("x" * 300, "1"), ("[not markup]", "20")], numeric=("size",))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "name" + " " * 299 + "size"
    assert lines[2].startswith("x" * 300)
    assert lines[3].split() == ["[not", "markup]", "20"]
