"""`python -m benchmarks`: sharkpack and llama.cpp side by side, as tables, JSON and a picture."""

import argparse
import shlex
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.command import run_command
from benchmarks.comparison_run import Plan, measure, requantised
from benchmarks.llama_cpp_build import LlamaCpp, build_once, given
from benchmarks.models import DEMO, NAMES, find_model
from benchmarks.plot import can_plot, write_plot
from benchmarks.processes import WORK
from benchmarks.report import markdown, print_result
from benchmarks.result import write_json
from benchmarks.tasks import TASKS, choose_tasks


def main(words: list[str]) -> int:
    """Measure, print, write. Status 1: something was left out."""
    arguments = parse(words)
    log = Console(stderr=True, highlight=False)
    plan, llama_cpp = make_plan(arguments, words)
    result = measure(plan, llama_cpp, log.print)
    print_result(result, Console(highlight=False, width=None if sys.stdout.isatty() else 140))
    write_json(result, arguments.json)
    arguments.json.with_suffix(".md").write_text(markdown(result), encoding="utf-8")
    if can_plot():
        write_plot(result, arguments.json.with_suffix(".png"))
    log.print(
        f"written: {arguments.json} and, beside it, .md{' and .png' if can_plot() else ' (no matplotlib, no plot)'}"
    )
    return 1 if result.failures else 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line, with defaults filled in."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--models", nargs="+", default=[DEMO], metavar="MODEL", help=f"GGUF files, or {', '.join(NAMES)}")
    add("--requantise", metavar="TYPE", help="also measure the first model, quantised again (q4_0)")
    add("--tasks", nargs="+", choices=TASKS, metavar="TASK", help=f"default: all of {', '.join(TASKS)}")
    add("--threads", nargs="+", type=int, default=[1, 2], metavar="N", help="default: 1 2")
    add("--rounds", type=int, metavar="N", help="default: 5, with --quick 1")
    add("--quick", action="store_true", help="fewer tasks, tokens and rounds")
    add("--quiet-wait", type=float, default=20.0, metavar="S", help="spent on a quiet sample (default: 20 s)")
    add("--minutes", type=float, default=60.0, metavar="M", help="begin no further model after M minutes (default: 60)")
    add("--llama-cpp", type=Path, metavar="DIR", help="the folder of its programs; default: fetch and build them once")
    add("--amx", action="store_true", help="build it with AMX, where the CPU has that (see benchmarks/README.md)")
    add("--json", type=Path, default=WORK / "result.json", metavar="FILE", help="default: build/benchmarks/result.json")
    add("--work", type=Path, default=WORK, metavar="DIR", help="where bundles go (default: build/benchmarks)")
    return parser.parse_args(words)


def make_plan(arguments: argparse.Namespace, words: list[str]) -> tuple[Plan, LlamaCpp]:
    """The measurements to take, with every file they need."""
    models = [find_model(name) for name in arguments.models]
    llama_cpp = given(arguments.llama_cpp) if arguments.llama_cpp else build_once(models[0].path, amx=arguments.amx)
    if arguments.requantise:
        models.insert(1, requantised(models[0], arguments.requantise, llama_cpp, arguments.work))
    plan = Plan(
        models=tuple(models),
        tasks=tuple(choose_tasks(arguments.tasks, quick=arguments.quick)),
        threads=tuple(arguments.threads),
        rounds=arguments.rounds or (1 if arguments.quick else 5),
        repeats=1 if arguments.quick else 2,
        quiet_wait_s=arguments.quiet_wait,
        seconds=60 * arguments.minutes,
        work=arguments.work,
        command=shlex.join(["python", "-m", "benchmarks", *words]),
    )
    return plan, llama_cpp


if __name__ == "__main__":
    sys.exit(run_command(main))
