"""The profile of a small model's steps."""

from pathlib import Path

import pytest

from benchmarks.profile import Call, Line, Profile, profile, table
from tests.tiny_models import write_tiny_gguf


def test_every_dispatch_of_a_token_is_timed(tmp_path: Path) -> None:
    found = profile(write_tiny_gguf(tmp_path / "tiny.gguf"), Call(tokens=1, context=20), threads=1, rounds=3)
    kernels = [line for line in found.lines if "$" not in line.kernel]
    layers = {line.dispatches for line in kernels if line.kernel.startswith(("attention", "rope", "silu"))}
    (head,) = (line for line in kernels if line.kernel.startswith("matmul") and line.dispatches == 1)
    assert len(layers) == 1
    assert head.weights > 0
    assert sum(line.weights for line in kernels if line.kernel.startswith("embedding")) == 0
    assert 0 < sum(line.seconds for line in found.lines) < found.seconds


def test_a_prompt_is_timed_too(tmp_path: Path) -> None:
    found = profile(write_tiny_gguf(tmp_path / "tiny.gguf"), Call(tokens=7, context=0), threads=1, rounds=2)
    assert any(line.kernel.startswith("attention") for line in found.lines)
    assert {line.weights for line in found.lines} == {0}


@pytest.mark.parametrize(("threads", "columns"), [(1, 6), (2, 7)])
def test_the_table_begins_with_what_takes_longest_and_ends_with_all(threads: int, columns: int) -> None:
    lines = [
        Line(kernel="quick", dispatches=3, weights=0, seconds=0.001, thread_seconds=0.001),
        Line(kernel="slow", dispatches=1, weights=40_000_000, seconds=0.004, thread_seconds=0.006),
    ]
    rows = table(Profile(lines=lines, seconds=0.010, threads=threads)).splitlines()
    assert {row.count("|") for row in rows} == {columns + 1}
    assert rows[2].startswith("| `slow` | 1 | 40.0 | 4.00 | 40% | 10.0 |")
    assert rows[-2].startswith("| all kernels | 4 | 40.0 | 5.00 | 50% | 8.0 |")
    assert rows[-1].startswith("| with what is between them |  |  | 10.00 |")
