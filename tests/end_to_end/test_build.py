"""`sharkpack build` as a whole: size, time, memory, the same bytes each time, and nothing left when it is cut short."""

import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sharkpack.formats.archive.reader import Archive
from tests.end_to_end.command_line import build, sharkpack
from tests.end_to_end.conftest import EXACT, MeasuredBuild, measured_build

MODELS = ("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m")
QWEN_SECONDS = 90
QWEN_AGAIN_SECONDS = 10
QWEN_MEMORY = 4 << 30
STOPS = {
    signal.SIGINT: (130, "interrupted\n"),
    signal.SIGTERM: (143, "terminated\n"),
    signal.SIGHUP: (129, "hung up\n"),
}

# `sharkpack build`, which says "writing" once it has written a part of the weights, and then waits to be stopped.
_STOPS_WHILE_WRITING = """
import sys, time
from sharkpack.bundler import build
from sharkpack.cli.main import main

def write_parameters(plan, out, *rest):
    out.write(bytes(1000))
    print("writing", flush=True)
    time.sleep(300)

build.write_parameters = write_parameters
sys.exit(main(["build", *sys.argv[1:]]))
"""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_qwen_builds_in_time_and_in_memory(qwen_build: MeasuredBuild, measured: Callable[[str], None]) -> None:
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in qwen_build.report["step_seconds"].items())
    measured(
        f"Qwen2.5-0.5B Q4_K_M builds in {qwen_build.seconds:.1f} s ({steps}), "
        f"peak memory {qwen_build.peak_memory >> 20} MiB"
    )
    assert qwen_build.seconds <= QWEN_SECONDS
    assert qwen_build.peak_memory <= QWEN_MEMORY
    assert qwen_build.report["peak_memory_bytes"] <= QWEN_MEMORY
    assert qwen_build.report["size"] == qwen_build.path.stat().st_size


def test_qwen_builds_again_in_seconds(
    qwen_build: MeasuredBuild, tmp_path: Path, measured: Callable[[str], None]
) -> None:
    again = measured_build(qwen_build.source, tmp_path / "again.shark")
    same = _digest(again.path) == _digest(qwen_build.path)
    again.path.unlink()
    measured(f"Qwen2.5-0.5B Q4_K_M builds again, its code in the compile cache, in {again.seconds:.1f} s")
    assert all(target["cached"] for target in again.report["targets"])
    assert "trace" not in again.report["step_seconds"]
    assert same
    assert again.seconds <= QWEN_AGAIN_SECONDS


@pytest.mark.parametrize("name", MODELS)
def test_a_bundle_is_hardly_larger_than_its_source(
    name: str, real_bundle: Callable[..., Path], model_path: Callable[[str], Path], measured: Callable[[str], None]
) -> None:
    size, source = real_bundle(name).stat().st_size, model_path(name).stat().st_size
    measured(f"{name}: bundle {size / 1e6:.1f} MB, GGUF {source / 1e6:.1f} MB, ratio {size / source:.4f}")
    assert size <= 1.06 * source


@pytest.mark.parametrize("name", MODELS)
def test_every_member_of_a_real_bundle_is_sound(name: str, real_bundle: Callable[..., Path]) -> None:
    with Archive.open(real_bundle(name)) as archive:
        archive.verify()


def test_the_same_model_gives_the_same_bytes(
    real_bundle: Callable[..., Path], model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    """SmolLM2 once more, at the same time: with another hash seed, from another folder, to another name.

    It ends with the table of targets, sizes and times.
    """
    (tmp_path / "temporary").mkdir()
    env = {"PYTHONHASHSEED": "12345", "TMPDIR": str(tmp_path / "temporary")}
    arguments = ("build", model_path("smollm2-135m"), "-o", "other.shark", *EXACT, "--no-cache")
    with ThreadPoolExecutor() as thread:
        other = thread.submit(sharkpack, *arguments, cwd=tmp_path, env=env)
        real_bundle("smollm2-135m", exact=True)
    outcome = other.result()
    assert outcome.status == 0, outcome.err
    assert all(words in outcome.out for words in ("times the source", "compiled in", "peak memory"))
    assert _digest(tmp_path / "other.shark") == _digest(real_bundle("smollm2-135m", exact=True))
    (tmp_path / "other.shark").unlink()


def test_a_build_goes_beside_its_source_and_replaces_when_told(
    tiny_gguf: Path, tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert tiny_bundle == tiny_gguf.with_suffix(".shark")
    assert sorted(path.name for path in tiny_gguf.parent.iterdir()) == ["tiny.gguf", "tiny.shark"]
    output = tmp_path / "mine.shark"
    output.write_text("mine")
    options = ("-o", output, "--batch-sizes", "1")
    assert build(tiny_gguf, *options) == 2
    assert "--force" in capfd.readouterr().err
    assert output.read_text() == "mine"
    assert build(tiny_gguf, *options, "--force") == 0
    assert output.read_bytes() == tiny_bundle.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_a_build_that_is_stopped_leaves_nothing(tiny_gguf: Path, tmp_path: Path) -> None:
    running = {number: _start_a_build_that_waits(tiny_gguf, tmp_path / number.name) for number in STOPS}
    for number, process in running.items():
        folder = tmp_path / number.name
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            assert [path.suffix for path in folder.iterdir()] == [".partial"]
            process.send_signal(number)
            _, err = process.communicate()
        finally:
            process.kill()
        assert (process.returncode, err) == STOPS[number]
        assert list(folder.iterdir()) == []


def test_what_a_killed_build_left_goes_with_the_next(tiny_gguf: Path, tmp_path: Path) -> None:
    """It can be written only once the killed process is gone; a living one's is left alone."""
    folder = tmp_path / "out"
    killed, living = _start_a_build_that_waits(tiny_gguf, folder), _start_a_build_that_waits(tiny_gguf, folder)
    try:
        for process in (killed, living):
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
        assert len(list(folder.iterdir())) == 2
        killed.kill()
        killed.communicate(timeout=60)
        assert build(tiny_gguf, "-o", folder / "next.shark", "--batch-sizes", "1", "--quiet") == 0
        assert sorted(path.suffix for path in folder.iterdir()) == [".partial", ".shark"]
        living.send_signal(signal.SIGTERM)
        living.communicate(timeout=60)
        assert [path.name for path in folder.iterdir()] == ["next.shark"]
    finally:
        for process in (killed, living):
            process.kill()


def _start_a_build_that_waits(source: Path, folder: Path) -> "subprocess.Popen[str]":
    folder.mkdir(exist_ok=True)
    arguments = [
        str(source),
        "-o",
        str(folder / "tiny.shark"),
        "--batch-sizes",
        "1",
        "--target",
        "x86-64-v2",
        "--quiet",
    ]
    return subprocess.Popen(
        [sys.executable, "-c", _STOPS_WHILE_WRITING, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
