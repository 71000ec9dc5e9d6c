"""The cost of a long context, as a table."""

from benchmarks.context_growth import Growth, table


def test_the_growth_is_of_medians_and_of_the_cache_between_the_shortest_and_the_longest() -> None:
    found = Growth(cache_dtype="f16", token_bytes=10_000, milliseconds={32: [2.0, 1.0, 9.0], 1032: [3.0, 2.5, 3.0]})
    assert table([found], 2).splitlines()[2] == "| f16 | 2 | 10,000 | 2.00 | 3.00 | 10 | 10.0 |"


def test_one_length_has_no_growth() -> None:
    found = Growth(cache_dtype="i8", token_bytes=10_000, milliseconds={32: [2.0]})
    assert table([found], 1).splitlines()[2] == "| i8 | 1 | 10,000 | 2.00 |"
