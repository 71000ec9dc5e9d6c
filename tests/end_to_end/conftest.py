"""Bundles built once a session with the real command line, and the figures that tests measure, printed at the end."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sharkpack.bundler.compile.targets import TARGETS, best_of_host
from sharkpack.formats.host.cpu import host_cpu
from tests.end_to_end.command_line import SHARKPACK, build, python, sharkpack
from tests.tiny_models import write_tiny_gguf

EXACT = ("--activations", "float32", "--cache-dtype", "f32", "--batch-sizes", "1")
BASELINE = next(target.id for target in TARGETS.values() if target.architecture == host_cpu().architecture)
BEST = best_of_host(host_cpu().architecture, host_cpu().features).id
TWO_TARGETS = ("--target", BASELINE, "--target", BEST)
DEFAULT_BUILDS = {
    "smollm2-135m": TWO_TARGETS,
    "gemma3-270m": ("--batch-sizes", "1"),
}
EXACT_BUILDS = dict.fromkeys(("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"), EXACT)

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
    """`real_bundle("smollm2-135m")`: that model's bundle, int8 and f16; with `exact=True`, float32 throughout.

    The first call for one kind or the other builds it of every model that is here.
    """
    made: dict[tuple[str, bool], Path] = {}

    def real_bundle(name: str, *, exact: bool = False) -> Path:
        if name == "qwen2.5-coder-0.5b" and not exact:
            built: MeasuredBuild = request.getfixturevalue("qwen_build")
            return built.path
        model_path(name)  # skips the test where it is not
        if (name, exact) not in made:
            folder = tmp_path_factory.mktemp("real")
            options = EXACT_BUILDS if exact else DEFAULT_BUILDS
            paths = {each: folder / f"{each}.shark" for each in options if _is_here(each, model_path)}
            _build_all([[model_path(each), "-o", path, *options[each]] for each, path in paths.items()])
            made.update({(each, exact): path for each, path in paths.items()})
        return made[name, exact]

    yield real_bundle
    for path in made.values():
        path.unlink()


def _is_here(name: str, model_path: Callable[[str], Path]) -> bool:
    with suppress(pytest.skip.Exception):
        return model_path(name).exists()
    return False


def _build_all(builds: Sequence[Sequence[str | Path]]) -> None:
    """Run `sharkpack build` with each of these arguments, two at a time: a build keeps one processor busy."""
    with ThreadPoolExecutor(max_workers=2) as threads:
        for outcome in threads.map(lambda arguments: sharkpack("build", *arguments), builds):
            assert outcome.status == 0, outcome.err


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of two megabytes, in float32: its kernels are few and short, and soon compiled."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf", quantization="F32")


@pytest.fixture(scope="session")
def tiny_bundle(tiny_gguf: Path) -> Path:
    """Its bundle, for this machine, built where the command puts it when it isn't told."""
    assert build(tiny_gguf, "--batch-sizes", "1") == 0
    return tiny_gguf.with_suffix(".shark")
