"""The content of an installation: the wheel's contents, and a command that starts."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import sharkpack

ROOT = Path(__file__).parent.parent
FOLDERS = ("bundler", "cli", "formats", "runtime_shim", "templates")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("wheel")
    build = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    command = [sys.executable, "-c", build, str(directory)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(directory / done.stdout.split()[-1]) as wheel:
        return wheel.namelist()


def test_wheel_has_one_top_level_package(wheel_names: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert tops == {"sharkpack", f"sharkpack-{sharkpack.__version__}.dist-info"}


def test_wheel_has_every_file_once(wheel_names: list[str]) -> None:
    expected = {
        f"sharkpack/{path.relative_to(ROOT)}"
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packaged = [name for name in wheel_names if name.startswith("sharkpack/")]
    assert sorted(packaged) == sorted(set(packaged))
    assert expected | {"sharkpack/__init__.py", "sharkpack/py.typed"} <= set(packaged)


def test_wheel_has_the_licence(wheel_names: list[str]) -> None:
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in wheel_names)


def test_help_loads_little() -> None:
    """Modules of ours are counted, each of which takes a millisecond or so, and packages that take many."""
    command = [sys.executable, "-X", "importtime", "-m", "sharkpack.cli.main", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = [line.rpartition("|")[2].strip() for line in lines]
    assert len([name for name in loaded if name.startswith("sharkpack")]) <= 24
    assert not {"numpy", "rich", "torch", "tokenizers", "iree", "iree.runtime"} & set(loaded)
