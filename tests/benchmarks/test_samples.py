"""Medians and ratios of samples."""

import pytest

from benchmarks.samples import Engine, Sample, compare


def sample(
    engine: Engine, value: float, *, task: str = "decode-32", metric: str = "speed", others: float = 0
) -> Sample:
    return Sample(
        model="m", threads=1, task=task, metric=metric, engine=engine, round=0, value=value, others_share=others
    )


def test_ratio_is_of_medians() -> None:
    samples = [sample("sharkpack", value) for value in (30, 10, 20)] + [sample("llama.cpp", value) for value in (5, 4)]
    (found,) = compare(samples)
    assert (found.ours, found.theirs, found.count) == (20, 4.5, 2)
    assert found.ours_range == (10, 30)
    assert found.ratio == pytest.approx(20 / 4.5)
    assert found.is_better


def test_less_is_better_for_times() -> None:
    names = {"task": "cold-start", "metric": "first token"}
    (found,) = compare([sample("sharkpack", 90, **names), sample("llama.cpp", 100, **names)])  # type: ignore[arg-type]
    assert found.is_better
    assert found.ratio == pytest.approx(0.9)


def test_what_one_engine_lacks_is_left_out() -> None:
    assert compare([sample("sharkpack", 1)]) == []


def test_disturbed_samples_count_only_where_there_are_no_others() -> None:
    disturbed = [sample("sharkpack", 1, others=0.5), sample("llama.cpp", 2, others=0.5)]
    quiet = [sample("sharkpack", 10), sample("llama.cpp", 10)]
    assert compare(disturbed + quiet)[0].ratio == 1
    assert compare([*disturbed, quiet[0]])[0].count == 1
    assert compare(disturbed)[0].others_share == 0.5
