"""An installation without torch and compiler runs bundles, and says what building needs."""

import subprocess
import sys
from pathlib import Path

# Hides what a runtime-only installation does not have, then calls the command line.
RUNTIME_ONLY = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "gguf", "transformers"} or name in {"iree.compiler", "iree.turbine"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from sharkpack.cli.main import main
sys.exit(main())
"""


def test_runtime_only_installation_says_what_to_install() -> None:
    done = _run_runtime_only("build", "model.gguf")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: this installation can run models but not build them "
        "(torch, iree.compiler, iree.turbine not installed): pip install 'sharkpack[build]'\n"
    )


def test_runtime_only_installation_runs_and_inspects(bundle: Path) -> None:
    generated = _run_runtime_only("run", str(bundle), "abc", "--max-tokens", "3")
    assert (generated.returncode, generated.stderr) == (0, "")
    assert _run_runtime_only("inspect", str(bundle), "--verify").returncode == 0
    assert _run_runtime_only("devices").returncode == 0


def _run_runtime_only(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RUNTIME_ONLY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
