"""The command lines of llama.cpp's programs, and what they print."""

from pathlib import Path

from benchmarks.llama_cpp import LlamaCppEngine, read_batched_bench, read_bench
from benchmarks.tasks import TASKS, choose_tasks

BENCH = """[
  {"n_prompt": 128, "n_gen": 0, "n_depth": 0, "avg_ts": 55.1, "samples_ns": [2897121413], "samples_ts": [44.2, 66.1]}
]"""
BATCHED = """
main: something else
{"n_kv_max": 2048, "pp": 32, "tg": 16, "pl": 4, "t_tg": 2.5, "speed_tg": 25.437151, "t": 4.1, "speed": 46.0}

llama_perf_context_print: more
"""
ENGINE = LlamaCppEngine(programs=Path("bin"), model=Path("m.gguf"))


def test_reads_bench() -> None:
    assert read_bench(BENCH) == [44.2, 66.1]


def test_reads_batched_bench() -> None:
    assert read_batched_bench(BATCHED) == [25.437151]


def test_decode_command_has_the_context_as_depth() -> None:
    words = [str(word) for word in ENGINE.command(TASKS["decode-1024"], 2, repeats=1)]
    assert words[0] == str(Path("bin") / "llama-bench")
    assert words[words.index("-d") + 1] == "1024"
    assert words[words.index("-n") + 1] == "128"
    assert words[words.index("-t") + 1] == "2"


def test_batch_has_room() -> None:
    words = [str(word) for word in ENGINE.command(TASKS["batch-8"], 1, repeats=1)]
    assert int(words[words.index("-c") + 1]) >= 8 * (32 + 64)


def test_only_the_bare_cold_start_skips_the_warm_up() -> None:
    skipping = [name for name, task in TASKS.items() if "--no-warmup" in ENGINE.command(task, 1, repeats=1)]
    assert skipping == ["cold-start-no-warm-up"]


def test_quick_takes_fewer_tasks_and_tokens() -> None:
    quick = choose_tasks(None, quick=True)
    assert len(quick) < len(TASKS)
    assert {task.name: task.generated for task in quick}["decode-32"] == 32
    assert choose_tasks(["decode-32"], quick=False) == [TASKS["decode-32"]]
