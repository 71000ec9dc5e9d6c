"""`pip install .` in a clean environment: a `sharkpack run` that works, with no torch and no compiler anywhere near."""

import json
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.end_to_end.command_line import ROOT

FORBIDDEN = ("torch", "iree.compiler", "iree.turbine", "gguf", "transformers")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with sharkpack as a user installs it; not run where pip reaches no index."""
    folder = tmp_path_factory.mktemp("install") / "venv"
    venv.create(folder, with_pip=True, symlinks=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    reachable = subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder / "probe"), "jinja2"], check=False)
    if reachable.returncode:
        pytest.skip("NOT RUN: pip reaches no package index here")
    installed = subprocess.run([*pip, "install", str(ROOT)], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return folder


def _run(environment: Path, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program of the environment, away from the repository and with nothing inherited but where it lies."""
    program, *rest = map(str, arguments)
    return subprocess.run(
        [str(environment / "bin" / program), *rest],
        capture_output=True,
        text=True,
        cwd=environment,
        env={"PATH": str(environment / "bin"), "HOME": str(environment)},
        check=False,
    )


def test_run_works_with_no_torch_and_no_compiler(
    environment: Path, real_bundle: Callable[..., Path], measured: Callable[[str], None]
) -> None:
    bundle = real_bundle("smollm2-135m")
    outcome = _run(environment, "sharkpack", "run", bundle, "The capital of France is", "--raw", "--max-tokens", "2")
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, " Paris.\n", "")
    report = json.loads(_run(environment, "sharkpack", "inspect", bundle, "--json").stdout)
    assert report["kind"] == "shark"
    assert _run(environment, "sharkpack", "devices", bundle).returncode == 0
    size = sum(path.lstat().st_size for path in (environment / "lib").rglob("*") if not path.is_symlink())
    pip = sum(path.lstat().st_size for path in (environment / "lib").rglob("pip*/**/*") if path.is_file())
    measured(f"a clean environment takes {(size - pip) / 1e6:.0f} MB, and pip itself {pip / 1e6:.0f} MB")
    assert size < 300e6


def test_nothing_heavy_is_installed(environment: Path) -> None:
    code = f"""
from importlib.util import find_spec
print([name for name in {FORBIDDEN!r} if find_spec(name.split(".")[0]) and find_spec(name)])
"""
    outcome = _run(environment, "python", "-c", code)
    assert (outcome.stdout, outcome.stderr) == ("[]\n", "")


def test_build_says_what_to_install(environment: Path, tiny_gguf: Path) -> None:
    outcome = _run(environment, "sharkpack", "build", tiny_gguf, "-o", environment / "tiny.shark")
    assert (outcome.returncode, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error: this installation can run models but not build them")
    assert "pip install 'sharkpack[build]'" in outcome.stderr
    assert not (environment / "tiny.shark").exists()


def test_the_api_works_there(environment: Path, tiny_bundle: Path) -> None:
    code = f"""
from sharkpack.runtime_shim import Engine
with Engine.open({str(tiny_bundle)!r}) as engine:
    print(len(engine.generate([40, 41, 42], max_tokens=3).result().token_ids))
"""
    outcome = _run(environment, "python", "-W", "error", "-c", code)
    assert (outcome.stdout, outcome.stderr) == ("3\n", "")
