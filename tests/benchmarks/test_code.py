"""Comparing code over one bundle's weights."""

from pathlib import Path

import pytest

from benchmarks.code import check_weights, table
from benchmarks.processes import BenchmarkError
from tests.runtime_shim.toy_bundle import ToyBundle
from tests.runtime_shim.toy_program import compile_toy


def test_ratios_are_of_samples_of_the_same_round() -> None:
    rows = table({Path("a.shark"): [10.0, 20.0, 40.0], Path("b.shark"): [11.0, 22.0, 42.0]}, "decode").splitlines()
    assert rows[2:] == ["| a | 20.0 | 1.000 |", "| b | 22.0 | 1.100 |"]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    toy_code = compile_toy()
    one, same, other = (
        ToyBundle(code=toy_code, ballast=ballast).write(tmp_path / f"{name}.shark")
        for name, ballast in (("one", 64), ("same", 64), ("other", 128))
    )
    check_weights([one, same])
    with pytest.raises(BenchmarkError, match=r"other\.shark has other weights than"):
        check_weights([one, other])
