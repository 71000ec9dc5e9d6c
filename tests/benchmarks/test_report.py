"""A result as tables and JSON."""

import io
import json

import pytest
from rich.console import Console

from benchmarks.machine import Machine, this_machine
from benchmarks.peaks import Peaks
from benchmarks.report import markdown, number, print_result
from benchmarks.result import Result, fractions, to_json
from benchmarks.samples import Engine, Sample
from benchmarks.weights import Weights, bytes_per_token, count_macs


def sample(engine: Engine, task: str, value: float, others: float = 0.0) -> Sample:
    return Sample(
        model="m", threads=2, task=task, metric="speed", engine=engine, round=0, value=value, others_share=others
    )


@pytest.fixture
def result() -> Result:
    machine = Machine(
        date="2030-01-01",
        system="Linux",
        cpu="a CPU",
        cpu_flags=("avx",),
        cores=2,
        memory=1 << 34,
        load=0.5,
        python="3.12",
        versions={"sharkpack": "1.0", "iree-base-runtime": "3.13"},
        commit="abc",
    )
    return Result(
        machine=machine,
        command="python -m benchmarks",
        llama_cpp={"version": "7", "note": "given"},
        samples=[
            sample("sharkpack", "decode-32", 200.0),
            sample("llama.cpp", "decode-32", 100.0, others=0.9),
            sample("sharkpack", "prefill-128", 256.0),
            sample("llama.cpp", "prefill-128", 512.0),
        ],
        peaks=[Peaks(model="m", threads=2, bandwidth=bandwidth, macs=4e9) for bandwidth in (1e9, 2e9)],
        weights={"m": Weights(bytes_per_token=5_000_000, layer_macs=1_000_000, head_macs=128_000)},
    )


def test_fractions_are_of_the_best_peak(result: Result) -> None:
    decode, prefill = fractions(result)
    assert (decode.what, prefill.what) == ("bandwidth", "int8 multiply-adds")
    assert decode.value == pytest.approx(0.5)
    assert prefill.reached == pytest.approx(2 * 128.128e6)


def test_table_puts_the_ratio_first_and_marks_a_busy_machine(result: Result) -> None:
    rows = markdown(result).splitlines()
    assert rows[2] == "| m | 2 | decode-32 | 2.00 | 200 | 100 | tokens/s, more is better | 45%! |"
    assert rows[3].startswith("| m | 2 | prefill-128 | 0.50 | 256 | 512 |")


def test_prints(result: Result) -> None:
    out = io.StringIO()
    print_result(result, Console(file=out, width=150))
    assert "2 threads: 4 GMAC/s of int8" in out.getvalue()


def test_json_has_every_sample_and_the_ratios(result: Result) -> None:
    found = json.loads(to_json(result))
    assert len(found["samples"]) == 4
    assert [each["ratio"] for each in found["comparisons"]] == [2.0, 0.5]
    assert found["machine"]["cpu_flags"] == ["avx"]
    assert found["fractions"][0]["fraction"] == pytest.approx(0.5)


@pytest.mark.parametrize(("value", "text"), [(123.4, "123"), (12.34, "12.3"), (0.5, "0.5")])
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_a_separate_head_leaves_the_embedding_unread() -> None:
    assert bytes_per_token({"token_embd.weight": 10, "blk": 5}) == 15
    assert bytes_per_token({"token_embd.weight": 10, "blk": 5, "output.weight": 7}) == 12


def test_multiply_adds_are_those_of_matmuls() -> None:
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (50, 8), "a": (4, 8), "norm": (8,)}
    assert count_macs(shapes) == (32, 400)
    assert count_macs({**shapes, "output.weight": (60, 8)}) == (32, 480)


def test_this_machine_is_described() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.memory > 0
