"""Bundles built once a session with the real command line, and the figures that tests measure, printed at the end."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.command_line import SHARKPACK, build, python
from tests.tiny_models import write_tiny_gguf

EXACT = ("--activations", "float32", "--cache-dtype", "f32", "--batch-sizes", "1")
TWO_TARGETS = ("--target", "x86-64-v2", "--target", "x86-64-v4-vnni")
DEFAULT_BUILDS = {
    "smollm2-135m": TWO_TARGETS,
    "gemma3-270m": ("--batch-sizes", "1"),
}

FIGURES = pytest.StashKey[list[str]]()

# Runs a command in a process that has forked nothing larger, so that its peak memory is that of the command.
_MEASURE = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
print(json.dumps({"seconds": seconds, "peak": peak, "status": done.returncode, "out": done.stdout, "err": done.stderr}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredBuild:
    """A build in a process of its own. Seconds from start to exit, imports included; bytes of resident memory."""

    source: Path
    path: Path
    seconds: float
    peak_memory: int
    report: dict[str, Any]


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`measured("Qwen builds in 20 s")`: show a figure in the summary, whether its test passes or not."""
    figures: list[str] = request.config.stash.setdefault(FIGURES, [])
    return figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("measured")
        for figure in figures:
            terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def qwen_build(model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredBuild]:
    """Qwen2.5-0.5B with every default, built under a clock; the compile cache has its code afterwards."""
    built = measured_build(model_path("qwen2.5-coder-0.5b"), tmp_path_factory.mktemp("qwen") / "qwen.shark")
    assert not any(target["cached"] for target in built.report["targets"])
    yield built
    built.path.unlink()  # half a gigabyte, which pytest would keep for three runs


def measured_build(source: Path, path: Path) -> MeasuredBuild:
    """Build `source` with every default."""
    outcome = json.loads(python(_MEASURE, *SHARKPACK, "build", source, "-o", path, "--json"))
    assert outcome["status"] == 0, outcome["err"]
    return MeasuredBuild(
        source=source,
        path=path,
        seconds=outcome["seconds"],
        peak_memory=outcome["peak"],
        report=json.loads(outcome["out"]),
    )


@pytest.fixture(scope="session")
def real_bundle(
    request: pytest.FixtureRequest, model_path: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Path]]:
    """`real_bundle("smollm2-135m")`: that model's bundle, int8 and f16; with `exact=True`, float32 throughout."""
    made: dict[tuple[str, bool], Path] = {}

    def real_bundle(name: str, *, exact: bool = False) -> Path:
        if name == "qwen2.5-coder-0.5b" and not exact:
            built: MeasuredBuild = request.getfixturevalue("qwen_build")
            return built.path
        if (name, exact) not in made:
            path = tmp_path_factory.mktemp("real") / f"{name}.shark"
            assert build(model_path(name), "-o", path, *(EXACT if exact else DEFAULT_BUILDS[name])) == 0
            made[name, exact] = path
        return made[name, exact]

    yield real_bundle
    for path in made.values():
        path.unlink()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of half a megabyte."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_gguf: Path) -> Path:
    """Its bundle, for this machine, built where the command puts it when it isn't told."""
    assert build(tiny_gguf, "--batch-sizes", "1") == 0
    return tiny_gguf.with_suffix(".shark")
